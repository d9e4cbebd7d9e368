"""Comparison scores of pairs of samples: the cosine of their embeddings.

Nothing is gathered for all pairs at once: 20 million pairs of 512 numbers would be 82 GB.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import Float32Array, Float64Array

EmbeddingArray = npt.NDArray[np.floating]
IndexArray = npt.NDArray[np.integer]

# Two buffers of this many rows stay in a core's cache between the copy and the product.
_PAIRS_AT_ONCE = 256
# Pairs are taken in an order in which both their rows are near in memory. That saves a tenth of the
# time where all embeddings fit the last cache, and reads a memory map far less often.
_PAIRS_ORDERED_TOGETHER = 1 << 21
# Rows in a tile: 1 MB of 512 numbers, so that the rows of two tiles fit a core's cache.
_TILE = 512
_NORMS_AT_ONCE = 1024
# Beyond these norms float32 products of embeddings would leave float32's range.
_LEAST_NORM, _GREATEST_NORM = 1e-15, 1e15
_NAMED = 5


def cosine_of_pairs(
    embeddings: EmbeddingArray,
    sample_a: IndexArray,
    sample_b: IndexArray,
    *,
    pairs_at_once: int = _PAIRS_AT_ONCE,
) -> Float32Array:
    """The cosine of the embeddings of each pair.

    Products are summed in float32, norms in float64; for some thousand dimensions the result is
    within 1e-6 of the same in float64. It does not depend on the other pairs or on `pairs_at_once`,
    to the bit.

    Args:
        embeddings: float32 or float16 [S, D], of any norm; may be a memory map. NaN for a sample
            without an embedding.
        sample_a: integers [N]: positions in `embeddings`.
        sample_b: integers [N]: positions in `embeddings`.
        pairs_at_once: how many pairs of rows are copied at a time.

    Returns:
        float32 [N] in -1..1; NaN where a sample has no embedding.

    Raises:
        InvalidArgumentError: wrong shapes or dtypes, positions outside of `embeddings`, an
            embedding that is zero or infinite.
    """
    norms = row_norms(embeddings)
    check_positions("sample_a", sample_a, len(embeddings))
    check_positions("sample_b", sample_b, len(embeddings))
    if sample_a.shape != sample_b.shape:
        raise InvalidArgumentError(
            f"evaluate: expected sample_a and sample_b of the same shape [N], got"
            f" {list(sample_a.shape)} and {list(sample_b.shape)}; give two positions for each pair"
        )
    if pairs_at_once < 1:
        raise InvalidArgumentError(
            f"evaluate: expected pairs_at_once to be at least 1, got {pairs_at_once}; leave it out"
        )
    rows = np.asarray(embeddings)
    buffers = np.empty((2, pairs_at_once, rows.shape[1]), rows.dtype)
    cosines = np.empty(len(sample_a), np.float32)
    for start in range(0, len(cosines), _PAIRS_ORDERED_TOGETHER):
        part = slice(start, start + _PAIRS_ORDERED_TOGETHER)
        order = _order_by_tile(sample_a[part], sample_b[part], len(rows))
        a, b = (s[part][order].astype(np.intp) for s in (sample_a, sample_b))
        products = _products(rows, a, b, buffers)
        cosines[part][order] = np.clip(products / (norms[a] * norms[b]), -1, 1)
    return cosines


def angular_distance(cosines: npt.ArrayLike) -> Float64Array:
    """arccos(cosine) / pi, 0..1: the distance in the evaluation of CR-FIQA and GraFIQs."""
    return np.arccos(np.clip(np.asarray(cosines, np.float64), -1, 1)) / np.pi


def row_norms(embeddings: EmbeddingArray) -> Float64Array:
    """L2 norms, summed in float64; NaN for rows with a NaN.

    Args:
        embeddings: float32 or float16 [S, D]; may be a memory map.

    Returns:
        float64 [S].

    Raises:
        InvalidArgumentError: another shape or dtype, or a row that is zero or infinite.
    """
    if embeddings.ndim != 2 or embeddings.shape[1] == 0:
        raise InvalidArgumentError(
            f"evaluate: expected embeddings of shape [S, D], got {list(embeddings.shape)};"
            " give one row for each sample"
        )
    if embeddings.dtype not in (np.float32, np.float16):
        raise InvalidArgumentError(
            f"evaluate: expected embeddings of dtype float32 or float16, got {embeddings.dtype};"
            " convert them"
        )
    norms = np.empty(len(embeddings), np.float64)
    for start in range(0, len(norms), _NORMS_AT_ONCE):
        rows = np.asarray(embeddings[start : start + _NORMS_AT_ONCE], np.float64)
        norms[start : start + _NORMS_AT_ONCE] = np.sqrt(np.vecdot(rows, rows))
    unusable = np.flatnonzero((norms < _LEAST_NORM) | (norms > _GREATEST_NORM))
    if len(unusable):
        raise InvalidArgumentError(
            f"evaluate: expected embeddings with norms from {_LEAST_NORM:g} to {_GREATEST_NORM:g},"
            f" got {norms[unusable[0]]:g} for {list_positions(unusable)}; rows of samples without"
            " an embedding shall be NaN"
        )
    return norms


def unit_rows(embeddings: EmbeddingArray) -> Float32Array:
    """Embeddings divided by their norms, as a new float32 array [S, D]; NaN rows stay NaN.

    Raises:
        InvalidArgumentError: as `row_norms`.
    """
    norms = row_norms(embeddings)
    units = np.empty(embeddings.shape, np.float32)
    for start in range(0, len(units), _NORMS_AT_ONCE):
        part = slice(start, start + _NORMS_AT_ONCE)
        np.divide(embeddings[part], norms[part, None], out=units[part], casting="same_kind")
    return units


def check_positions(name: str, positions: IndexArray, count: int) -> None:
    """Refuses anything but integers [N] from 0 to count - 1.

    Raises:
        InvalidArgumentError: another shape, dtype or range.
    """
    if positions.ndim != 1 or not np.issubdtype(positions.dtype, np.integer):
        raise InvalidArgumentError(
            f"evaluate: expected {name} to be integers of shape [N], got {positions.dtype} of shape"
            f" {list(positions.shape)}; give positions"
        )
    if len(positions) and not (positions.min() >= 0 and positions.max() < count):
        raise InvalidArgumentError(
            f"evaluate: expected {name} to hold positions from 0 to {count - 1}, got"
            f" {positions.min()} to {positions.max()}; give positions among the {count} entries"
        )


def list_positions(positions: IndexArray, what: str = "row") -> str:
    """The first positions, for a message."""
    named = ", ".join(f"{what} {p}" for p in positions[:_NAMED].tolist())
    more = len(positions) - _NAMED
    return f"{named} and {more} more" if more > 0 else named


def _order_by_tile(a: IndexArray, b: IndexArray, row_count: int) -> IndexArray:
    """An order of the pairs in which the rows of following pairs are near each other."""
    tile = max(_TILE, -(-row_count // 256))  # at most 256 tiles, so that 16 bits name two of them
    key = (a // tile).astype(np.uint16) * np.uint16(256) + (b // tile).astype(np.uint16)
    return np.argsort(key, kind="stable")  # a radix sort for 16 bits


def _products(
    rows: EmbeddingArray, a: IndexArray, b: IndexArray, buffers: EmbeddingArray
) -> Float32Array:
    products = np.empty(len(a), np.float32)
    at_once = buffers.shape[1]
    for start in range(0, len(a), at_once):
        count = min(at_once, len(a) - start)
        for positions, buffer in zip((a, b), buffers, strict=True):
            # Positions are checked already; "raise" would copy through another buffer.
            np.take(rows, positions[start : start + count], axis=0, out=buffer[:count], mode="clip")
        left, right = buffers[:, :count].astype(np.float32, copy=False)
        np.vecdot(left, right, out=products[start : start + count])
    return products
