"""The images of a data set by identity, with their embeddings, for label optimisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.similarity import EmbeddingArray, IndexArray, list_positions
from fiqa_fast.types import Float32Array, Float64Array

IntArray = npt.NDArray[np.int64]

_ROWS_AT_ONCE = 1024
# Beyond these norms float32 products of embeddings would leave float32's range.
_LEAST_NORM, _GREATEST_NORM = 1e-15, 1e15


@dataclass(frozen=True)
class IdentityImages:
    """Images grouped by identity.

    Attributes:
        embeddings: float32 or float16 [S, D], dense rows; may be a memory map.
        norms: float64 [S]: L2 norms of the embeddings.
        inverse_norm: float32 [S]: 1 / norm.
        rows: int64 [S]: positions of the images in `embeddings`, identity by identity, ascending
            within each.
        begins: int64 [I + 1]: images of identity i are rows[begins[i] : begins[i + 1]], at least
            one.
    """

    embeddings: EmbeddingArray
    norms: Float64Array
    inverse_norm: Float32Array
    rows: IntArray
    begins: IntArray

    @property
    def identities(self) -> int:
        """How many there are."""
        return len(self.begins) - 1

    def blocks(self, images: int) -> Iterator[tuple[int, int]]:
        """Runs of identities, first and behind the last one, of about so many images each."""
        first = 0
        while first < self.identities:
            end = int(np.searchsorted(self.begins, self.begins[first] + images, side="right")) - 1
            end = max(end, first + 1)
            yield first, end
            first = end

    def unit_rows(self, rows: IndexArray) -> Float32Array:
        """Embeddings of some rows divided by their norms, float32 [len(rows), D]."""
        units = np.take(self.embeddings, rows, axis=0).astype(np.float32, copy=False)
        scaled: Float32Array = units * self.inverse_norm[rows, None]
        return scaled


def group_by_identity(embeddings: EmbeddingArray, identity: IndexArray) -> IdentityImages:
    """Groups images by identity and checks everything about them.

    Args:
        embeddings: float32 or float16 [S, D], finite, of any norm above 0; may be a memory map.
        identity: integers [S], 0 to I - 1, each at least once.

    Raises:
        InvalidArgumentError: wrong shapes, lengths or dtypes; identities without an image;
            embeddings with NaN, infinity, or nothing but zeros.
    """
    if embeddings.ndim != 2 or not embeddings.size:
        raise InvalidArgumentError(
            f"label optimisation: expected embeddings of shape [S, D], got"
            f" {list(embeddings.shape)}; give a row for each image"
        )
    if embeddings.dtype not in (np.float32, np.float16):
        raise InvalidArgumentError(
            "label optimisation: expected embeddings of dtype float32 or float16, got"
            f" {embeddings.dtype}; convert them"
        )
    rows, begins = _sorted_by_identity(identity, len(embeddings))
    if embeddings.strides[1] != embeddings.itemsize:
        embeddings = np.ascontiguousarray(embeddings)
    norms = _norms(embeddings)
    return IdentityImages(embeddings, norms, (1 / norms).astype(np.float32), rows, begins)


def _sorted_by_identity(identity: IndexArray, count: int) -> tuple[IntArray, IntArray]:
    if identity.ndim != 1 or not np.issubdtype(identity.dtype, np.integer):
        raise InvalidArgumentError(
            "label optimisation: expected identity to be integers of shape [S], got"
            f" {identity.dtype} of shape {list(identity.shape)}; number the identities"
        )
    if len(identity) != count:
        raise InvalidArgumentError(
            f"label optimisation: expected identity and embeddings of one length, got"
            f" {len(identity)} and {count}; give both for each image, in the same order"
        )
    if identity.min() < 0 or identity.max() >= count:
        raise InvalidArgumentError(
            "label optimisation: expected identity numbers from 0 on without gaps, got"
            f" {identity.min()} to {identity.max()} for {count} images; renumber them with"
            " np.unique(identity, return_inverse=True)"
        )
    sizes = np.bincount(identity)
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        raise InvalidArgumentError(
            "label optimisation: expected an image for every identity from 0 to"
            f" {len(sizes) - 1}, got none for {list_positions(empty, 'identity')}; leave them out"
            " and renumber the others with np.unique(identity, return_inverse=True)"
        )
    begins = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    # The smallest dtype: numpy sorts 16-bit numbers by radix.
    narrow = identity.astype(np.min_scalar_type(len(sizes)))
    return np.argsort(narrow, kind="stable").astype(np.int64), begins


def _norms(embeddings: EmbeddingArray) -> Float64Array:
    norms = np.empty(len(embeddings), np.float64)
    for start in range(0, len(norms), _ROWS_AT_ONCE):
        rows = np.asarray(embeddings[start : start + _ROWS_AT_ONCE], np.float64)
        norms[start : start + _ROWS_AT_ONCE] = np.sqrt(np.vecdot(rows, rows))
    wrong = np.flatnonzero(~((norms >= _LEAST_NORM) & (norms <= _GREATEST_NORM)))
    if len(wrong):
        raise InvalidArgumentError(
            f"label optimisation: expected finite embeddings with norms from {_LEAST_NORM:g} to"
            f" {_GREATEST_NORM:g}, got {norms[wrong[0]]:g} for {list_positions(wrong)}; leave these"
            " images out"
        )
    return norms
