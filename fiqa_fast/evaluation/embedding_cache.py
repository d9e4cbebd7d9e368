"""Embeddings that were computed before, kept in a folder; a run that was killed goes on.

For each protocol and network there are two files, named after a digest of everything that decides
the numbers: `KEY.npy` with the rows, and `KEY.jsonl` with a line for each batch: which rows it
wrote, their checksum, and the reasons of those without an embedding. While rows are missing the
names end with `.part`. Rows that no line vouches for, or whose checksum is wrong, are computed
again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.lib.format import open_memmap

from fiqa_fast.errors import ResultsError
from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.images.detect import DEFAULT_WEIGHTS as DETECTOR
from fiqa_fast.pipeline import Source
from fiqa_fast.types import FailureReason, Float32Array

FORM = 1
"""Of the embeddings and files; counted up when either changes."""

Batch = tuple[list[int], Float32Array, dict[int, str]]
"""Positions of samples, their rows, and the reasons of those without an embedding."""

_PASSING = (FailureReason.SCORING_FAILED, FailureReason.INTERNAL_ERROR)


@dataclass(frozen=True)
class EmbeddingFacts:
    """What decides an embedding, beside the image.

    Attributes:
        network: its name.
        weights_sha256: digest of its weights.
        bn_statistics: where its BatchNorm statistics come from.
        precision: the arithmetic.
        engine: what runs it.
        device: kind of device: "cpu" or "cuda".
        augmentation: see `compute_embeddings`.
        max_megapixels: larger images have no embedding.
    """

    network: str
    weights_sha256: str
    bn_statistics: str
    precision: str
    engine: str
    device: str
    augmentation: str
    max_megapixels: float


class EmbeddingCache:
    """The kept embeddings of one protocol by one network.

    Files may be deleted at any time. Two runs that need the same rows do not work side by side: the
    second waits for the first.

    Args:
        folder: is made where it is missing.
        facts: what decides the numbers.
        protocol: its samples. Files are told by path, size and time of change, images in memory by
            their content.
        size: D, of a row.

    Attributes:
        path: of the whole file.
    """

    def __init__(
        self,
        folder: Path,
        facts: EmbeddingFacts,
        protocol: Protocol | TemplateProtocol,
        size: int,
    ) -> None:
        self._shape = (len(protocol.samples), size)
        self._key = _key(facts, protocol, size)
        self.path = folder / f"{facts.network}-{self._key[:24]}.npy"
        self._journal_path = self.path.with_suffix(".jsonl")

    def fill(
        self, compute: Callable[[Sequence[int]], Iterable[Batch]]
    ) -> tuple[Float32Array, dict[int, str]]:
        """Computes what is missing.

        Args:
            compute: gives batches of the samples with the given positions.

        Returns:
            float32 [S, D], a read-only map of the file; and the reasons by position.

        Raises:
            ResultsError: the folder or a file in it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self.path.with_suffix(".lock")):
                return self._fill(compute)
        except OSError as error:
            raise ResultsError(
                f"embeddings: expected a cache folder that can be written, got {self.path.parent}"
                f" ({error}); give another one, or free some space"
            ) from error

    def _fill(
        self, compute: Callable[[Sequence[int]], Iterable[Batch]]
    ) -> tuple[Float32Array, dict[int, str]]:
        part, part_journal = _part(self.path), _part(self._journal_path)
        if self.path.exists():
            is_done, reasons = self._verified(self.path, self._journal_path)
            if is_done.all():
                return open_memmap(self.path, mode="r"), reasons
            # Damaged: what is sound of it is a run that was not finished.
            if self._journal_path.exists():
                self._journal_path.replace(part_journal)
            self.path.replace(part)
        is_done, reasons = self._verified(part, part_journal)
        rows = self._rows_to_write(part, is_done)
        with self._journal_to_write(part_journal, is_done) as journal:
            todo = np.flatnonzero(~is_done).tolist()
            for numbers, of_batch, of_failed in compute(todo) if todo else ():
                rows[numbers] = of_batch
                reasons |= of_failed
                # Out of memory, for instance: it is tried again the next time.
                lasting = [n for n in numbers if not of_failed.get(n, "").startswith(_PASSING)]
                # Written pages survive the process; a machine that went down may have lost some,
                # which the checksum tells.
                line = {
                    "rows": lasting,
                    "crc32": _checksum(rows[lasting]),
                    "reasons": {n: of_failed[n] for n in lasting if n in of_failed},
                }
                journal.write(json.dumps(line) + "\n")
                journal.flush()
        rows.flush()
        del rows
        part.replace(self.path)
        part_journal.replace(self._journal_path)
        return open_memmap(self.path, mode="r"), reasons

    def _rows_to_write(self, part: Path, is_done: np.ndarray) -> np.memmap[Any, Any]:
        if is_done.any():
            return open_memmap(part, mode="r+")
        part.unlink(missing_ok=True)
        return open_memmap(part, mode="w+", dtype=np.float32, shape=self._shape)

    @contextmanager
    def _journal_to_write(self, journal: Path, is_done: np.ndarray) -> Iterator[TextIO]:
        """The journal, behind its last whole line; a new one where nothing is done."""
        if not is_done.any():
            journal.write_text(json.dumps(self._heading()) + "\n", encoding="utf-8")
        else:
            content = journal.read_bytes()
            os.truncate(journal, content.rfind(b"\n") + 1)
        with journal.open("a", encoding="utf-8") as file:
            yield file

    def _heading(self) -> dict[str, Any]:
        return {"form": FORM, "key": self._key, "shape": list(self._shape)}

    def _verified(self, array: Path, journal: Path) -> tuple[np.ndarray, dict[int, str]]:
        """Which rows of a file are what the journal says, and the reasons that it gives."""
        is_done = np.zeros(self._shape[0], np.bool_)
        reasons: dict[int, str] = {}
        try:
            rows = open_memmap(array, mode="r")
            lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
            if (
                json.loads(lines[0]) != self._heading()
                or rows.shape != self._shape
                or rows.dtype != np.float32
                or not rows.flags.c_contiguous
            ):
                return is_done, reasons
        except Exception:  # not there, or damaged: numpy and json raise nearly anything
            return is_done, reasons
        for line in lines[1:]:
            entry = _entry(line, self._shape[0])
            if entry is None:  # cut off by the end of a run, or damaged
                continue
            numbers, checksum, of_failed = entry
            is_sound = _checksum(rows[numbers]) == checksum
            for number in numbers:
                # A later line may have written a row again.
                is_done[number] = is_sound
                reasons.pop(number, None)
            if is_sound:
                reasons |= of_failed
        return is_done, reasons


def _entry(line: str, count: int) -> tuple[list[int], int, dict[int, str]] | None:
    try:
        record = json.loads(line)
        numbers = [int(number) for number in record["rows"]]
        reasons = {int(number): str(reason) for number, reason in record["reasons"].items()}
        checksum = int(record["crc32"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    fits = line.endswith("\n") and all(0 <= number < count for number in (*numbers, *reasons))
    return (numbers, checksum, reasons) if fits else None


def _checksum(rows: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(rows).tobytes())


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits; the end of a process frees it, however it ends
        yield


def _key(facts: EmbeddingFacts, protocol: Protocol | TemplateProtocol, size: int) -> str:
    digest = hashlib.sha256()

    def add(*values: object) -> None:
        digest.update(json.dumps(values).encode() + b"\n")

    add(FORM, asdict(facts), protocol.aligned, size, DETECTOR.sha256)
    if isinstance(protocol, TemplateProtocol) and protocol.landmarks is not None:
        digest.update(np.ascontiguousarray(protocol.landmarks).tobytes())
    for sample, source in zip(protocol.samples, protocol.sources, strict=True):
        add(sample, *_identity(source))
    return digest.hexdigest()


def _identity(source: Source) -> tuple[object, ...]:
    """What tells an image from another one, or from itself after a change."""
    if isinstance(source, np.ndarray):
        content = np.ascontiguousarray(source)
        return "pixels", source.shape, hashlib.sha256(content.tobytes()).hexdigest()
    if isinstance(source, bytes):
        return "bytes", hashlib.sha256(source).hexdigest()
    try:
        status = os.stat(source)  # noqa: PTH116 - a str, millions
    except (OSError, ValueError):
        return "missing", os.fspath(source)
    return "file", os.fspath(source), status.st_size, status.st_mtime_ns
