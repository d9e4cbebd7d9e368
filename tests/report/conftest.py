"""Fabricated tables of scores, with the columns that `fiqa-fast score` writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fiqa_fast.results import SCHEMA

DIGEST = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"

Row = dict[str, Any]


def _scored(path: str, raw: float, **changes: Any) -> Row:
    row: Row = {
        "path": path,
        "face_index": 0,
        "box": [],
        "landmarks": [],
        "status": "ok",
        "reason": "",
        "note": "",
        "scorer": "grafiqs",
        "output": "b2",
        "raw_score": raw,
        "higher_is_better": False,
        "quality": 50.0,
        "quality_reason": "",
        "backbone": "sface",
        "weights_sha256": DIGEST,
        "variant": "official",
        "precision": "float32",
        "device": "cpu",
        "engine": "torch",
        "seed": None,
        "version": "0.1.0",
        "elapsed_ms": 1.5,
    }
    assert changes.keys() <= row.keys()
    return row | changes


def _failed(path: str, reason: str, note: str, **changes: Any) -> Row:
    unknown: Row = dict.fromkeys(("raw_score", "higher_is_better", "quality", "elapsed_ms"))
    return (
        _scored(path, 0.0)
        | unknown
        | {"status": "failed", "reason": reason, "note": note}
        | changes
    )


@pytest.fixture
def scored() -> Callable[..., Row]:
    """A row of a scored face: path, raw score, and columns that differ from the usual."""
    return _scored


@pytest.fixture
def failed() -> Callable[..., Row]:
    """A row of an image without a score: path, reason, note."""
    return _failed


@pytest.fixture
def make_table() -> Callable[[Sequence[Row]], pa.Table]:
    """Rows -> a table with the schema of scores.parquet."""
    return lambda rows: pa.Table.from_pylist(list(rows), schema=SCHEMA)


@pytest.fixture
def photo() -> Path:
    """A real photograph, 722x899, with one face."""
    return Path(__file__).parents[2] / "examples" / "faces" / "person_a_2.jpg"
