"""Embeddings that somebody else computed, read from files."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.embeddings import Embeddings
from fiqa_fast.evaluation.protocols.checks import name_some

_FORMS = (
    "NAME.npy [S, D] with the names in NAME.txt, one a line; .npz with names and embeddings;"
    " .parquet with the columns sample and embedding"
)


def read_embeddings(
    path: str | Path, samples: Sequence[str], *, allow_missing: bool = False
) -> Embeddings:
    """Reads the embeddings of a protocol's samples; the cosine of two rows compares them.

    - `.npy`: [S, D] of a floating dtype, and beside it the names in a file of the same name with
      the suffix .txt, one a line, in the order of the rows;
    - `.npz`: arrays `names` [S] of text and `embeddings` [S, D];
    - `.parquet`: columns `sample` (text) and `embedding` (lists of D numbers).

    Rows come in any order; those of other samples are passed over.

    Args:
        path: the file.
        samples: whose embeddings are wanted, `Protocol.samples`.
        allow_missing: samples that the file lacks get a row of NaN and a reason, instead of an
            error.

    Returns:
        In the order of `samples`; the rows are as long as they are in the file.

    Raises:
        InvalidArgumentError: the file cannot be read or has another form; a name stands in it
            twice; numbers that are not finite, a row of zeros; samples are missing.
    """
    path = Path(path)
    try:
        names, rows = _read(path)
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        zipfile.BadZipFile,
        pa.ArrowException,
    ) as error:
        if isinstance(error, InvalidArgumentError):
            raise
        raise InvalidArgumentError(
            f"embeddings: expected a readable file, got {path} ({type(error).__name__}: {error});"
            f" the forms are {_FORMS}"
        ) from error
    positions = _checked(path, names, rows)
    missing = [sample for sample in samples if sample not in positions]
    if missing and (not allow_missing or len(missing) == len(samples)):
        raise InvalidArgumentError(
            f"embeddings: expected {path} to have all {len(samples)} samples, got none for"
            f" {name_some(missing, len(missing))}; its names are such as"
            f" {', '.join(names[:3])}: they must be those of the protocol"
        )
    chosen = np.array([positions.get(sample, -1) for sample in samples], np.int64)
    found = np.full((len(samples), rows.shape[1]), np.nan, np.float32)
    found[chosen >= 0] = rows[chosen[chosen >= 0]]
    reasons = dict.fromkeys(missing, f"no embedding in {path}")
    return Embeddings(tuple(samples), found, reasons)


def _read(path: Path) -> tuple[list[str], np.ndarray]:
    match path.suffix.lower():
        case ".npy":
            # A map, so that a header which promises more than the file has costs no memory.
            rows = np.load(path, mmap_mode="r", allow_pickle=False)
            names = path.with_suffix(".txt").read_text(encoding="utf-8-sig").splitlines()
            return names, rows
        case ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return [_name(name) for name in archive["names"].ravel()], archive["embeddings"]
        case ".parquet":
            table = pq.read_table(path, columns=["sample", "embedding"])
            names = [str(name) for name in table["sample"].to_pylist()]
            return names, _rows_of(path, table["embedding"].combine_chunks())
        case suffix:
            raise InvalidArgumentError(
                f"embeddings: expected a .npy, .npz or .parquet file, got {path} with the suffix"
                f" {suffix!r}; the forms are {_FORMS}"
            )


def _rows_of(path: Path, column: pa.Array) -> np.ndarray:
    """A column of lists as [S, D]."""
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not (is_list or pa.types.is_fixed_size_list(column.type)) or column.null_count:
        raise InvalidArgumentError(
            f"embeddings: expected lists of numbers in the column embedding of {path}, got"
            f" {column.type} with {column.null_count} empty ones; write a list for each sample"
        )
    lengths = np.unique(column.value_lengths().to_numpy(zero_copy_only=False))
    if len(lengths) > 1:
        raise InvalidArgumentError(
            f"embeddings: expected embeddings of one length in {path}, got {lengths[0]} to"
            f" {lengths[-1]} numbers; write those of one network"
        )
    values = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values).reshape(len(column), -1) if len(column) else np.empty((0, 1))


def _name(name: object) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _checked(path: Path, names: Sequence[str], rows: np.ndarray) -> dict[str, int]:
    """The position of each name; raises InvalidArgumentError where something is wrong."""
    if rows.ndim != 2 or not rows.size or not np.issubdtype(rows.dtype, np.floating):
        raise InvalidArgumentError(
            f"embeddings: expected floating-point embeddings of shape [S, D] in {path}, got"
            f" {rows.dtype} {list(rows.shape)}; write a row for each sample"
        )
    if len(names) != len(rows):
        raise InvalidArgumentError(
            f"embeddings: expected a name for each of the {len(rows)} rows of {path}, got"
            f" {len(names)}; write one for each, in the same order"
        )
    positions = {name: i for i, name in enumerate(names)}
    if len(positions) < len(names):
        twice = sorted({n for i, n in enumerate(names) if positions[n] != i})
        raise InvalidArgumentError(
            f"embeddings: expected each sample once in {path}, got several rows of"
            f" {name_some(twice, len(twice))}; leave all but one out"
        )
    largest = np.abs(rows).max(1)
    wrong = np.flatnonzero(~((largest > 0) & (largest <= np.finfo(np.float32).max)))
    if len(wrong):
        some = name_some((names[int(i)] for i in wrong), len(wrong))
        raise InvalidArgumentError(
            f"embeddings: expected finite embeddings with a direction in {path}, got NaN, infinity"
            f" or zeros alone for {some}; leave samples without an embedding out"
        )
    return positions
