"""The frame of every report: one HTML page that needs no network and no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fiqa_fast.errors import ResultsError
from fiqa_fast.report.choices import describe, options_json
from fiqa_fast.report.line_chart import draw_swatch
from fiqa_fast.report.summary import Fact
from fiqa_fast.report.text import format_number, make_printable
from fiqa_fast.whole_file import write_whole


def render_page(
    *,
    title: str,
    facts: Sequence[Fact],
    styles: Sequence[str],
    scripts: Sequence[str],
    **parts: Any,
) -> str:
    """Fills the page's template.

    Args:
        title: heading of the page.
        facts: for its head.
        styles: style sheets, as text.
        scripts: as text; each is a block of its own.
        parts: `score_sections` and `evaluation`, either of them None.
    """
    environment = Environment(
        loader=PackageLoader("fiqa_fast.report", ""),
        autoescape=True,  # names of files are whatever somebody called them
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    environment.filters["describe"] = describe
    environment.filters["options_json"] = options_json
    environment.filters["swatch"] = draw_swatch
    script = "\n".join(scripts)
    return environment.get_template("report.html.j2").render(
        title=make_printable(title),
        facts=facts,
        css=Markup("\n".join(styles)),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **parts,
    )


def read_asset(name: str) -> str:
    """A style sheet or script of this package, as text."""
    return resources.files("fiqa_fast.report").joinpath(name).read_text(encoding="utf-8")


def write_page(page: str, destination: Path) -> None:
    """Writes the file as a whole, or not at all.

    Raises:
        ResultsError: the destination cannot be written.
    """
    try:
        write_whole(destination, page)
    except OSError as error:
        raise ResultsError(
            f"report: expected to be able to write {str(destination)!r}, got"
            f" {type(error).__name__}: {error.strerror}; choose a folder that exists and is"
            " writable"
        ) from error
