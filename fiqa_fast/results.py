"""The table of scores: its columns, and a writer that loses nothing when it is interrupted.

Rows go to `scores.csv` as they are made, all rows of an image in one write; `scores.parquet` is
made from it at the end. `run.json` says which settings made the rows, so that an interrupted run is
resumed with the same settings only.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from fiqa_fast.errors import ResultsError
from fiqa_fast.types import QualityScore
from fiqa_fast.version import __version__
from fiqa_fast.whole_file import write_whole

Status = Literal["ok", "failed"]
Mode = Literal["new", "resume", "overwrite"]

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("face_index", pa.int32()),
        ("box", pa.list_(pa.float32())),  # left, top, width, height
        ("landmarks", pa.list_(pa.float32())),  # x0, y0, ... x4, y4
        ("status", pa.string()),
        ("reason", pa.string()),
        ("note", pa.string()),
        ("scorer", pa.string()),
        ("output", pa.string()),
        ("raw_score", pa.float64()),
        ("higher_is_better", pa.bool_()),
        ("quality", pa.float64()),
        ("quality_reason", pa.string()),
        ("backbone", pa.string()),
        ("weights_sha256", pa.string()),
        ("bn_statistics", pa.string()),
        ("variant", pa.string()),
        ("parameters", pa.string()),  # JSON
        ("precision", pa.string()),
        ("device", pa.string()),
        ("engine", pa.string()),
        ("seed", pa.int64()),
        ("version", pa.string()),
        ("elapsed_ms", pa.float64()),
    ]
)
_ROWS_PER_GROUP = 20_000


@dataclass(frozen=True)
class ScoreRow:
    """One row of the table: one face (or one image that has none) and one output of one scorer.

    Attributes:
        path: the image.
        face_index: among the image's faces, the largest first; None where no face was found.
        box: left, top, width, height in pixels of the image, or None.
        landmarks: x, y of the five points in pixels of the image, or None.
        status: "ok", or "failed" when there is no score.
        reason: a `FailureReason` where the status is "failed", else "".
        note: for a person: what went wrong, or what was done to the image.
        score: the score; its `raw_score` is None where the status is "failed".
        elapsed_ms: time the scorer took for this face (its share of the batch); None without score.
            Of methods on one network, the first to run pays for the pass that they share.
    """

    path: str
    face_index: int | None
    box: tuple[float, ...] | None
    landmarks: tuple[float, ...] | None
    status: Status
    reason: str
    note: str
    score: QualityScore
    elapsed_ms: float | None

    def record(self) -> dict[str, Any]:
        """The row's columns by name."""
        score = self.score
        return {
            "path": stored_path(self.path),
            "face_index": self.face_index,
            "box": self.box,
            "landmarks": self.landmarks,
            "status": self.status,
            "reason": self.reason,
            "note": self.note,
            **{name: getattr(score, name) for name in SCHEMA.names if hasattr(score, name)},
            "elapsed_ms": self.elapsed_ms,
        }


def stored_path(path: str) -> str:
    """A path as it stands in the table: bytes that are not UTF-8 are escaped with backslashes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def to_table(rows: Iterable[ScoreRow]) -> pa.Table:
    """Makes an Arrow table of rows."""
    return pa.Table.from_pylist([row.record() for row in rows], schema=SCHEMA)


class ResultsWriter:
    """Writes a run's rows into a folder. Use it as a context manager.

    Entering it opens the folder. Leaving it normally completes the run: `scores.parquet` is
    written. After an exception the rows so far stay in `scores.csv`, and the mode "resume"
    continues behind them.

    Args:
        folder: made if it does not exist.
        settings: everything that decides the numbers; must be equal to resume.
        mode: "new" refuses a folder that holds results, "resume" continues an interrupted run,
            "overwrite" starts again.

    Raises:
        ResultsError: on entering, when the folder holds results and the mode is "new", holds
            nothing that the mode "resume" could continue, or cannot be written.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], mode: Mode = "new") -> None:
        self.folder = folder
        self.csv_path = folder / "scores.csv"
        self.parquet_path = folder / "scores.parquet"
        self._run_path = folder / "run.json"
        self._settings = json.loads(json.dumps(settings))
        self._mode = mode
        self._file: TextIO | None = None
        self.finished_paths: set[str] = set()  # as `stored_path` gives them

    def __enter__(self) -> ResultsWriter:
        """Opens the folder; of a resumed run, `finished_paths` says what it holds already."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = self._open()
        except OSError as error:
            raise ResultsError(
                f"results: expected to be able to write to {self.folder}, got {error.strerror};"
                " choose another folder"
            ) from error
        return self

    def _open(self) -> TextIO:
        if self._mode == "resume":
            self._check_settings()
            kept = drop_last_image(read_csv(self.csv_path))
            self.finished_paths = {record["path"] for record in kept}
            # Rewritten as a whole: the last lines may have been cut off by the interruption.
            write_whole(
                self.csv_path, _csv_text([SCHEMA.names]) + _csv_text(map(_csv_fields, kept))
            )
        else:
            if self._mode == "new" and self.csv_path.exists():
                raise ResultsError(
                    f"results: expected a folder without results, got {self.folder}, which holds"
                    f" {self.csv_path.name}; resume that run, overwrite it, or choose another"
                    " folder (--resume, --overwrite, -o)"
                )
            for old in (self.parquet_path, self.folder / "report.html"):
                old.unlink(missing_ok=True)
            write_whole(self._run_path, json.dumps(self._settings, indent=2) + "\n")
            write_whole(self.csv_path, _csv_text([SCHEMA.names]))
        return self.csv_path.open("a", encoding="utf-8", newline="")

    def _check_settings(self) -> None:
        if not (self.csv_path.exists() and self._run_path.exists()):
            raise ResultsError(
                f"results: expected an interrupted run to resume in {self.folder}, found none;"
                " run without --resume"
            )
        try:
            before = json.loads(self._run_path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ResultsError(
                f"results: expected the settings of a run in {self._run_path}, got a damaged file"
                f" ({error}); start again with --overwrite"
            ) from error
        if before != self._settings:
            names = sorted(before.keys() | self._settings.keys())
            changed = [n for n in names if before.get(n) != self._settings.get(n)]
            raise ResultsError(
                f"results: expected the settings of the run in {self.folder} to resume it, got"
                f" others for {', '.join(changed)}; use the same settings, or --overwrite"
            )

    def write_image(self, rows: Sequence[ScoreRow]) -> None:
        """Appends all rows of one image, in one write that reaches the operating system."""
        if self._file is None:
            raise ResultsError("results: expected an open writer, got a closed one; make a new one")
        try:
            self._file.write(_csv_text(_csv_fields(row.record()) for row in rows))
            self._file.flush()
        except OSError as error:
            raise ResultsError(
                f"results: expected to be able to write to {self.csv_path}, got {error.strerror};"
                " the rows so far are kept: make space, then continue with --resume"
            ) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the CSV file; without an exception, writes the Parquet file too."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError:
                if kind is None:  # else a full disk has been told already
                    raise
        if kind is None:
            write_parquet(read_csv(self.csv_path), self.parquet_path)


def read_csv(path: Path) -> Iterator[dict[str, Any]]:
    """Reads `scores.csv` back into records with the types of SCHEMA; cut-off lines are left out.

    Raises:
        ResultsError: its columns are not those of SCHEMA.
    """
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if next(lines, None) != SCHEMA.names:
            raise ResultsError(
                f"results: expected the columns of fiqa_fast {__version__} in {path}, got others;"
                " another version wrote the file: use that one, or score again with --overwrite"
            )
        for fields in lines:
            if len(fields) == len(SCHEMA):
                yield {f.name: _parse(f.type, v) for f, v in zip(SCHEMA, fields, strict=True)}


def write_parquet(records: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Writes records as a Parquet file, a group at a time; the file appears when it is whole."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    with pq.ParquetWriter(unfinished, SCHEMA, compression="zstd") as writer:
        group: list[Mapping[str, Any]] = []
        for record in records:
            group.append(record)
            if len(group) == _ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
                group = []
        writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
    unfinished.replace(path)


def drop_last_image(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leaves out the last image's records: an interruption may have cut them short."""
    kept = list(records)
    last = kept[-1]["path"] if kept else None
    while kept and kept[-1]["path"] == last:
        kept.pop()
    return kept


def _csv_fields(record: Mapping[str, Any]) -> list[str]:
    return [_format(record[name]) for name in SCHEMA.names]


def _format(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return " ".join(repr(round(v, 3)) for v in value)
    return str(value)


def _parse(kind: pa.DataType, text: str) -> Any:
    if pa.types.is_string(kind):
        return text
    if text == "":
        return None
    if pa.types.is_boolean(kind):
        return text == "true"
    if pa.types.is_list(kind):
        return [float(v) for v in text.split()]
    return int(text) if pa.types.is_integer(kind) else float(text)


def _csv_text(lines: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()
