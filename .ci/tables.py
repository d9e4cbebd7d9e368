"""Writes the tables of methods and networks into the documents: `make tables`."""

from __future__ import annotations

import re
from pathlib import Path

from fiqa_fast.cli.models import methods_table, networks_table

ROOT = Path(__file__).parents[1]


def replace(document: Path, name: str, table: str) -> None:
    """Puts the table between the comments `<!-- NAME: ... -->` and `<!-- end of NAME -->`."""
    text = document.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name}: [^\n]*\n).*?(<!-- end of {name} -->)", re.DOTALL)
    new, count = pattern.subn(lambda match: f"{match[1]}\n{table}\n{match[2]}", text)
    if count != 1:
        raise SystemExit(f"{document}: expected one place for the table {name}, found {count}")
    document.write_text(new, encoding="utf-8")


replace(ROOT / "README.md", "methods", methods_table())
replace(ROOT / "docs" / "networks.md", "networks", networks_table())
