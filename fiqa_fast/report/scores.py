"""Reads the table of scores into what the report needs: faces, scores per output, failures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.registry import list_scorers
from fiqa_fast.types import Float64Array

IntArray = npt.NDArray[np.int64]

REQUIRED_COLUMNS = (
    "path",
    "face_index",
    "box",
    "landmarks",
    "status",
    "reason",
    "note",
    "scorer",
    "output",
    "raw_score",
    "higher_is_better",
    "quality",
    "quality_reason",
)

NOT_FINITE = "not_finite"
"""Reason given to a row that calls itself "ok" but has no finite raw score."""


@dataclass(frozen=True)
class Face:
    """One face that has a score.

    Attributes:
        path: the photograph; bytes that are not UTF-8 as surrogates, so that it can be opened.
        face_index: position among the photograph's faces, the largest first.
        row: a row of the table that describes it.
    """

    path: str
    face_index: int
    row: int


@dataclass(frozen=True)
class OutputScores:
    """All scores of one output of one scorer.

    Attributes:
        face: int64 [N], positions in `ReportScores.faces`.
        raw: float64 [N], finite, in the method's own polarity.
        quality: float64 [N], 0..100, NaN where there is none.
        quality_reasons: the distinct reasons why there is none.
    """

    scorer: str
    output: str
    higher_is_better: bool
    face: IntArray
    raw: Float64Array
    quality: Float64Array
    quality_reasons: tuple[str, ...]

    @property
    def name(self) -> str:
        """Scorer and output as one word: "grafiqs/b2", or the scorer alone for "score"."""
        return self.scorer if self.output == "score" else f"{self.scorer}/{self.output}"

    @property
    def oriented(self) -> Float64Array:
        """Raw scores, higher is better: float64 [N]."""
        return self.raw if self.higher_is_better else -self.raw

    @property
    def has_quality(self) -> bool:
        """Whether every face has a calibrated quality."""
        return bool(np.isfinite(self.quality).all())


@dataclass(frozen=True, order=True)
class Failure:
    """An image or a face without a score; ordered by path."""

    path: str
    face_index: int
    reason: str
    note: str


@dataclass(frozen=True)
class ReportScores:
    """A table of scores, read.

    Attributes:
        image_count: distinct photographs, scored or not.
        faces: distinct scored faces, in the table's order.
        outputs: the default output of each scorer first, otherwise in the table's order.
        failures: distinct, ordered by path.
    """

    image_count: int
    faces: tuple[Face, ...]
    outputs: tuple[OutputScores, ...]
    failures: tuple[Failure, ...]


def read_scores(table: pa.Table) -> ReportScores:
    """Reads a table of scores (one row per face, scorer and output; failures are rows too).

    Raises:
        InvalidArgumentError: a column is missing.
    """
    missing = [name for name in REQUIRED_COLUMNS if name not in table.column_names]
    if missing:
        raise InvalidArgumentError(
            f"report: expected a table of scores, got one without the columns {', '.join(missing)};"
            " pass what `fiqa-fast score` wrote"
        )
    raw = _floats(table["raw_score"])
    says_ok = np.asarray(pc.equal(table["status"], "ok").fill_null(False), dtype=bool)
    scored = np.flatnonzero(says_ok & np.isfinite(raw))
    unscored = np.flatnonzero(~(says_ok & np.isfinite(raw)))

    path_code, paths = _encode(table["path"])
    face_index = np.asarray(table["face_index"].fill_null(0), dtype=np.int64)
    faces, face_of_row = _find_faces(scored, path_code, paths, face_index)
    return ReportScores(
        image_count=len(paths),
        faces=faces,
        outputs=_split_outputs(table, scored, face_of_row, raw),
        failures=_list_failures(table, unscored, path_code, paths, face_index),
    )


def decode_strings(column: pa.Array | pa.ChunkedArray) -> list[str]:
    """Strings of a column, null as ""; bytes that are not UTF-8 become surrogates."""
    values = column.cast(pa.binary()).to_pylist()
    return [(value or b"").decode("utf-8", "surrogateescape") for value in values]


def _floats(column: pa.ChunkedArray) -> Float64Array:
    return np.asarray(column.cast(pa.float64()).fill_null(float("nan")), dtype=np.float64)


def _encode(column: pa.ChunkedArray) -> tuple[IntArray, list[str]]:
    """Codes of the rows, and the distinct strings they stand for, in order of first appearance."""
    strings = column.cast(pa.binary()).fill_null(b"")
    encoded = strings.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices, dtype=np.int64), decode_strings(encoded.dictionary)


def _find_faces(
    rows: IntArray, path_code: IntArray, paths: list[str], face_index: IntArray
) -> tuple[tuple[Face, ...], IntArray]:
    """Distinct faces of the rows, in the table's order, and the face of each of the rows."""
    if len(rows) == 0:
        return (), np.zeros(0, dtype=np.int64)
    key = path_code[rows] * (int(face_index.max()) + 1) + face_index[rows]
    first, position = _unique_in_order(key)
    faces = tuple(
        Face(paths[path_code[row]], int(face_index[row]), int(row)) for row in rows[first]
    )
    return faces, position


def _unique_in_order(key: IntArray) -> tuple[IntArray, IntArray]:
    """As numpy.unique, but by first appearance: first position of each value, value of each key."""
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[inverse]


def _split_outputs(
    table: pa.Table, rows: IntArray, face_of_row: IntArray, raw: Float64Array
) -> tuple[OutputScores, ...]:
    if len(rows) == 0:
        return ()
    scorer_code, scorers = _encode(table["scorer"])
    output_code, outputs = _encode(table["output"])
    first, output_of_row = _unique_in_order(scorer_code[rows] * len(outputs) + output_code[rows])
    quality = _floats(table["quality"])
    quality = np.where(np.isfinite(quality), quality, np.nan)

    split = []
    for number, first_row in enumerate(rows[first]):
        members = output_of_row == number
        own = rows[members]
        reasons = table["quality_reason"].take(own[np.isnan(quality[own])]).unique()
        split.append(
            OutputScores(
                scorer=scorers[scorer_code[first_row]],
                output=outputs[output_code[first_row]],
                higher_is_better=bool(table["higher_is_better"][int(first_row)].as_py()),
                face=face_of_row[members],
                raw=raw[own],
                quality=quality[own],
                quality_reasons=tuple(filter(None, decode_strings(reasons))),
            )
        )
    defaults = {spec.name: spec.default_output for spec in list_scorers()}
    split.sort(key=lambda scores: scores.output != defaults.get(scores.scorer, scores.output))
    return tuple(split)


def _list_failures(
    table: pa.Table,
    rows: IntArray,
    path_code: IntArray,
    paths: list[str],
    face_index: IntArray,
) -> tuple[Failure, ...]:
    def texts(column: str) -> list[str]:
        return decode_strings(table[column].take(rows))

    failures = set()
    columns = (texts(name) for name in ("status", "reason", "note", "scorer", "output"))
    for row, (status, reason, note, scorer, output) in zip(
        rows, zip(*columns, strict=True), strict=True
    ):
        if status == "ok":
            reason, note = NOT_FINITE, f"{scorer}/{output} gave no finite number"
        failures.add(Failure(paths[path_code[row]], int(face_index[row]), reason, note))
    return tuple(sorted(failures))
