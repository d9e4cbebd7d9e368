"""Comparisons of reference samples, read from a CSV file."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import Float64Array

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

COLUMNS = ("sample_a", "sample_b", "mated", "comparison_score")
_TRUTH = {"0": False, "1": True, "false": False, "true": True}


@dataclass(frozen=True)
class Comparisons:
    """Pairs of samples with the score that a recognition system gave them.

    Attributes:
        samples: the distinct samples: paths as they stand in the table of scores.
        sample_a: int64 [N]: positions in `samples`.
        sample_b: int64 [N]: positions in `samples`.
        mated: bool [N]: whether both samples show the same person.
        scores: float64 [N], finite; higher is more alike.
    """

    samples: tuple[str, ...]
    sample_a: IntArray
    sample_b: IntArray
    mated: BoolArray
    scores: Float64Array


def read_comparisons(path: str | Path) -> Comparisons:
    """Reads a CSV file with the header sample_a,sample_b,mated,comparison_score (any order).

    `mated` is 0, 1, false or true.

    Raises:
        InvalidArgumentError: it cannot be read, a column is missing, a value is wrong (the message
            names the line), or there are no mated or no non-mated comparisons.
    """
    positions: dict[str, int] = {}
    sample_a, sample_b, mated, scores = [], [], [], []
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            for a, b, is_mated, score in _parse(file, path):
                sample_a.append(positions.setdefault(a, len(positions)))
                sample_b.append(positions.setdefault(b, len(positions)))
                mated.append(is_mated)
                scores.append(score)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidArgumentError(
            f"calibrate: expected a readable CSV file of comparisons, got {path}: {error};"
            f" give it the header {','.join(COLUMNS)}"
        ) from error
    if not any(mated) or all(mated):
        raise InvalidArgumentError(
            f"calibrate: expected mated and non-mated comparisons in {path}, got {sum(mated)} mated"
            f" ones of {len(mated)}; the decision threshold needs non-mated ones, the FNMR mated"
            " ones"
        )
    return Comparisons(
        samples=tuple(positions),
        sample_a=np.asarray(sample_a, dtype=np.int64),
        sample_b=np.asarray(sample_b, dtype=np.int64),
        mated=np.asarray(mated, dtype=np.bool_),
        scores=np.asarray(scores, dtype=np.float64),
    )


def _parse(file: TextIO, path: str | Path) -> Iterator[tuple[str, str, bool, float]]:
    reader = csv.DictReader(file)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InvalidArgumentError(
            f"calibrate: expected the columns {','.join(COLUMNS)} in {path}, got none named"
            f" {', '.join(missing)}; give the file a header"
        )
    for fields in reader:
        mated = _TRUTH.get((fields["mated"] or "").strip().lower())
        score = _number(fields["comparison_score"])
        if mated is None or not math.isfinite(score):
            raise InvalidArgumentError(
                f"calibrate: expected mated to be 0, 1, false or true and comparison_score to be a"
                f" finite number, got {fields['mated']!r} and {fields['comparison_score']!r} in"
                f" line {reader.line_num} of {path}; correct the line"
            )
        yield fields["sample_a"], fields["sample_b"], mated, score


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return math.nan
