"""`result.json` in a version folder of `fiqa_result`: what the ensemble's columns are."""

from __future__ import annotations

from dataclasses import dataclass

from fiqa_fast.provenance import Provenance

NAME = "result.json"


@dataclass(frozen=True)
class ResultColumn:
    """One column of the ensemble's `raw_score` and `quality`.

    Attributes:
        model: whose score it is.
        output: of the method.
        position: of the column in the model's own `raw_score`.
        provenance: of the model's scores.
        histogram: upper bounds of buckets in which raw scores are counted; (): they are not.
    """

    model: str
    output: str
    position: int
    provenance: Provenance
    histogram: tuple[float, ...] = ()


@dataclass(frozen=True)
class ResultFile:
    """The columns, and files of calibrations that lie in the same folder."""

    columns: tuple[ResultColumn, ...]
    calibrations: tuple[str, ...] = ()
