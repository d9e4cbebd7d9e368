"""Calibrations as JSON files; `fiqa_fast/calibrations/README.md` describes the format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.quality.calibration import Calibration, DiscardThreshold, digest_of
from fiqa_fast.quality.scales import Percentiles, Scale, Sigmoid
from fiqa_fast.quality.source import ScoreSource, parameters_text

FORMAT = "fiqa_fast calibrations, version 1"


@cache
def packaged_calibrations() -> tuple[Calibration, ...]:
    """Every calibration that comes with the package."""
    folder = resources.files("fiqa_fast") / "calibrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    return tuple(c for file in files for c in from_json(file.read_text(encoding="utf-8")))


def read_calibrations(path: str | Path) -> list[Calibration]:
    """Reads a file that `fiqa-fast calibrate` wrote.

    Raises:
        InvalidArgumentError: it cannot be read, is no file of calibrations, or was changed by hand.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(
            f"calibration: expected a readable JSON file, got {path}: {error};"
            " make one with `fiqa-fast calibrate`"
        ) from error
    return from_json(text, name=str(path))


def to_json(calibrations: Sequence[Calibration]) -> str:
    """Calibrations as the text of a file, one to a line."""
    lines = (json.dumps({**c.record(), "digest": c.digest}) for c in calibrations)
    body = ",\n".join(lines)
    return f'{{"format": {json.dumps(FORMAT)}, "calibrations": [\n{body}\n]}}\n'


def from_json(text: str, *, name: str = "the text") -> list[Calibration]:
    """Reads what `to_json` wrote.

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        InvalidArgumentError: no calibrations of this format, or the content was changed.
    """
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise ValueError(f"the format {content['format']!r}")
        return [_from_record(entry, name) for entry in content["calibrations"]]
    except InvalidArgumentError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidArgumentError(
            f"calibration: expected {FORMAT}, got something else in {name}"
            f" ({type(error).__name__}: {error}); make the file with `fiqa-fast calibrate`"
        ) from error


def _from_record(fields_and_digest: Mapping[str, Any], name: str) -> Calibration:
    entry = dict(fields_and_digest)
    stated = entry.pop("digest")
    if digest_of(entry) != stated:
        raise InvalidArgumentError(
            f"calibration: expected the content that was written (digest {stated[:12]}...), got a"
            f" changed one for {entry['scorer']} {entry['output']} in {name}; make the file again"
            " with `fiqa-fast calibrate`"
        )
    source = {**entry, "parameters": parameters_text(entry["parameters"])}
    return Calibration(
        source=ScoreSource(**_take(ScoreSource, source)),
        scale=_scale(entry),
        reference_set=entry["reference_set"],
        face_count=entry["face_count"],
        fiqa_fast_version=entry["fiqa_fast_version"],
        discard=_discard(entry["discard"]),
    )


def _scale(entry: Mapping[str, Any]) -> Scale:
    if entry["kind"] == Percentiles.kind:
        return Percentiles(tuple(entry["raw_scores"]))
    if entry["kind"] == Sigmoid.kind:
        return Sigmoid(entry["x0"], entry["w"])
    raise ValueError(f"the kind {entry['kind']!r}")


def _discard(entry: Mapping[str, Any] | None) -> DiscardThreshold | None:
    if entry is None:
        return None
    named = _take(DiscardThreshold, entry)
    return DiscardThreshold(**{**named, "warnings": tuple(entry["warnings"])})


def _take(kind: type[ScoreSource | DiscardThreshold], entry: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: entry[field.name] for field in fields(kind)}
