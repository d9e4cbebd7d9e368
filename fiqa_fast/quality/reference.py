"""Reads a table of scores as reference sets, one for each source."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.quality.source import CALIBRATED_PRECISIONS, ScoreSource
from fiqa_fast.types import Float64Array

_SOURCE_COLUMNS = [field.name for field in fields(ScoreSource)]
_COLUMNS = ["path", "status", "raw_score", "precision", "version", *_SOURCE_COLUMNS]


@dataclass(frozen=True)
class ReferenceScores:
    """The scores of one source.

    Attributes:
        source: what made them.
        paths: the image of each scored face, as it stands in the table.
        raw_scores: float64 [len(paths)], finite.
        version: of fiqa_fast that made them; several with commas between.
    """

    source: ScoreSource
    paths: tuple[str, ...]
    raw_scores: Float64Array
    version: str


def read_score_table(path: str | Path) -> pa.Table:
    """Reads `scores.parquet`, with the columns that a calibration needs.

    Raises:
        InvalidArgumentError: it cannot be read, or is no table of scores.
    """
    try:
        present = pq.read_schema(path).names
        missing = [name for name in _COLUMNS if name not in present]
        if not missing:
            return pq.read_table(path, columns=_COLUMNS)
    except (OSError, pa.ArrowException) as error:
        raise InvalidArgumentError(
            f"calibrate: expected a readable table of scores, got {path}: {error};"
            " pass the scores.parquet of `fiqa-fast score`"
        ) from error
    raise InvalidArgumentError(
        f"calibrate: expected a table of scores, got {path} without the columns"
        f" {', '.join(missing)}; score the images again with this version of `fiqa-fast score`"
    )


def split_sources(table: pa.Table) -> list[ReferenceScores]:
    """Splits a table into the scores of each source, in the order of first appearance.

    Rows without a score are left out.

    Raises:
        InvalidArgumentError: no row has a score, or one has it in another precision than float32
            and float64.
    """
    scored = table.filter(
        pc.and_(pc.equal(table["status"], "ok"), pc.is_finite(table["raw_score"]))
    )
    if scored.num_rows == 0:
        raise InvalidArgumentError(
            f"calibrate: expected rows with a score, got none among {table.num_rows} rows;"
            " the columns reason and note say why"
        )
    precisions = set(pc.unique(scored["precision"]).to_pylist())
    if not precisions <= set(CALIBRATED_PRECISIONS):
        others = ", ".join(sorted(precisions - set(CALIBRATED_PRECISIONS)))
        raise InvalidArgumentError(
            f"calibrate: expected scores in {' or '.join(CALIBRATED_PRECISIONS)}, got some in"
            f" {others}; score the images again with --precision float32"
        )
    # Without threads the groups keep the order of the rows.
    grouped = scored.group_by(_SOURCE_COLUMNS, use_threads=False).aggregate(
        [("path", "list"), ("raw_score", "list"), ("version", "distinct")]
    )
    return [
        ReferenceScores(
            source=ScoreSource(**{name: group[name] for name in _SOURCE_COLUMNS}),
            paths=tuple(group["path_list"]),
            raw_scores=np.asarray(group["raw_score_list"], dtype=np.float64),
            version=", ".join(sorted(group["version_distinct"])),
        )
        for group in grouped.to_pylist()
    ]
