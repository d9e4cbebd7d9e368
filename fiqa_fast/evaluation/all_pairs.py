"""Every sample compared with every other: similarities in blocks, never stored whole.

20,000 samples make 200 million comparisons. Blocks come from the matrix product of a library; of
each, only what decides survives: all mated scores, the highest non-mated ones, and a histogram.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.similarity import (
    EmbeddingArray,
    IndexArray,
    list_positions,
    row_norms,
    unit_rows,
)
from fiqa_fast.quality.discard import count_allowed_matches, describe_resolution
from fiqa_fast.types import Float32Array, Float64Array

_BLOCK = 2048
# Scores that stay in a core's cache while they are counted.
_COUNTED_AT_ONCE = 1 << 17
# Bins of 1 / 2048: scaling by a power of two is exact, so a score lies in its bin beyond doubt.
_BINS_PER_UNIT = 2048
_EDGES = np.arange(-_BINS_PER_UNIT, _BINS_PER_UNIT + 2) / _BINS_PER_UNIT
# Fewer candidates than these are not worth a selection.
_CANDIDATES = 1 << 20


@dataclass(frozen=True)
class SimilarityBlock:
    """A rectangle of the matrix of similarities.

    Attributes:
        row_start: sample of the first row.
        col_start: sample of the first column; at least `row_start`.
        similarities: float32 [R, C] in -1..1. In blocks on the diagonal, entries on it and below
            are NaN: each comparison stands in exactly one block.
    """

    row_start: int
    col_start: int
    similarities: Float32Array


@dataclass(frozen=True)
class DetPoints:
    """Error rates at ascending decision thresholds, each float64 [P]."""

    decision_threshold: Float64Array
    fmr: Float64Array
    fnmr: Float64Array


@dataclass(frozen=True)
class AllPairs:
    """What all comparisons of a set of samples come to.

    Attributes:
        missing: samples without an embedding; they are compared with none.
        mated_a, mated_b: int32 [M]: positions of the samples of each mated comparison, a < b,
            ordered by both.
        mated_scores: float32 [M].
        non_mated_count: all non-mated comparisons.
        highest_non_mated: float32 [K], descending: the highest non-mated scores.
        non_mated_histogram: int64 [4097]: how many non-mated scores lie in each bin of 1 / 2048
            from -1 on; the last bin holds those that are 1.
        greatest_fmr: up to which `decision_threshold` is known.
        warnings: FMRs that so few comparisons cannot resolve, in words.
    """

    missing: int
    mated_a: npt.NDArray[np.int32]
    mated_b: npt.NDArray[np.int32]
    mated_scores: Float32Array
    non_mated_count: int
    highest_non_mated: Float32Array
    non_mated_histogram: npt.NDArray[np.int64]
    greatest_fmr: float
    warnings: tuple[str, ...]

    def decision_threshold(self, fmr: float) -> float:
        """The lowest decision threshold whose false match rate is at most `fmr`.

        The same number as `fiqa_fast.quality.discard.find_decision_threshold` of all scores. It
        lies between two float32 numbers: compare float32 scores with `np.float64` of it, since
        numpy would round a plain number to float32.

        Raises:
            InvalidArgumentError: `fmr` is above `greatest_fmr`, or negative.
        """
        if not 0 <= fmr <= self.greatest_fmr:
            raise InvalidArgumentError(
                f"evaluate: expected fmr from 0 to {self.greatest_fmr:g}, got {fmr:g}; name it when"
                " the pairs are summarised, so that enough scores are kept"
            )
        best_refused = self.highest_non_mated[count_allowed_matches(self.non_mated_count, fmr)]
        return float(np.nextafter(best_refused, np.inf, dtype=np.float64))

    def trace_det(self) -> DetPoints:
        """The DET curve at the 4097 lower edges of the histogram's bins; both rates are exact."""
        edges = _EDGES[:-1]
        at_or_above = np.cumsum(self.non_mated_histogram[::-1])[::-1]
        below = np.searchsorted(np.sort(self.mated_scores), edges, side="left")
        return DetPoints(edges, at_or_above / self.non_mated_count, below / len(self.mated_scores))


def iterate_blocks(embeddings: EmbeddingArray, *, block: int = _BLOCK) -> Iterator[SimilarityBlock]:
    """The cosines of all pairs of rows, block by block of the upper triangle.

    Besides one normalised float32 copy of the embeddings, `block` squared numbers are held at a
    time. Similarities are within 1e-6 of those in float64; which bits they have may depend on
    `block`, since the matrix product chooses its order of additions by shape.

    Args:
        embeddings: float32 or float16 [S, D]; NaN rows give NaN.
        block: rows and columns of a block.

    Raises:
        InvalidArgumentError: a wrong shape or dtype, a zero or infinite row, or block < 1.
    """
    if block < 1:
        raise InvalidArgumentError(
            f"evaluate: expected block to be at least 1, got {block}; leave it out"
        )
    return _multiply_blocks(unit_rows(embeddings), block)


def summarise_all_pairs(
    embeddings: EmbeddingArray,
    identity: IndexArray,
    *,
    fmr: Sequence[float] = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6),
    block: int = _BLOCK,
) -> AllPairs:
    """Compares every sample with every other.

    Memory: two copies of the embeddings, a few blocks of 4 * `block`^2 bytes, the mated scores with
    their pairs, and about three times 4 * max(fmr) * S^2 / 2 bytes for the highest non-mated
    scores.

    Args:
        embeddings: float32 or float16 [S, D]; NaN for a sample without an embedding.
        identity: integers [S]: number of each sample's person, 0 or above.
        fmr: the false match rates whose thresholds will be asked for, 0 < fmr < 1.
        block: rows and columns of a block.

    Raises:
        InvalidArgumentError: as `iterate_blocks`; a wrong `fmr`; an unknown identity; no mated or
            no non-mated comparison.
    """
    if not fmr or not all(0 < rate < 1 for rate in fmr):
        raise InvalidArgumentError(
            f"evaluate: expected one or more fmr, each 0 < fmr < 1, got {list(fmr)}; give rates"
            " such as 0.001"
        )
    present = np.flatnonzero(~np.isnan(row_norms(embeddings)))
    _check_identity(identity, len(embeddings))
    # Beside each other, the samples of a person meet in few blocks.
    order = present[np.argsort(identity[present], kind="stable")]
    sorted_identity = identity[order]
    mated_count = _count_mated(sorted_identity)
    non_mated_count = len(order) * (len(order) - 1) // 2 - mated_count
    if mated_count == 0 or non_mated_count == 0:
        raise InvalidArgumentError(
            f"evaluate: expected mated and non-mated comparisons, got {mated_count} and"
            f" {non_mated_count} among {len(order)} samples with an embedding; give several samples"
            " of some person, and several persons"
        )
    highest = _Highest(count_allowed_matches(non_mated_count, max(fmr)) + 1)
    histogram = np.zeros(len(_EDGES) - 1, np.int64)
    mated: list[tuple[IndexArray, IndexArray, Float32Array]] = []
    for part in iterate_blocks(np.asarray(embeddings)[order], block=block):
        non_mated = part.similarities.ravel()
        meeting = _find_mated(part, sorted_identity)
        if meeting is not None:
            rows, cols = np.nonzero(meeting)
            scores = part.similarities[rows, cols]
            mated.append((rows + part.row_start, cols + part.col_start, scores))
            non_mated = non_mated[~meeting.ravel() & ~np.isnan(non_mated)]
        highest.add(non_mated)
        _count_into(histogram, non_mated)
    first, second, mated_scores = (np.concatenate(column) for column in zip(*mated, strict=True))
    a, b = np.sort(np.stack([order[first], order[second]]), axis=0).astype(np.int32)
    by_pair = np.lexsort((b, a))
    return AllPairs(
        missing=len(embeddings) - len(order),
        mated_a=a[by_pair],
        mated_b=b[by_pair],
        mated_scores=mated_scores[by_pair],
        non_mated_count=non_mated_count,
        highest_non_mated=highest.descending(),
        non_mated_histogram=histogram,
        greatest_fmr=max(fmr),
        warnings=tuple(w for rate in fmr if (w := describe_resolution(non_mated_count, rate))),
    )


def _multiply_blocks(units: Float32Array, block: int) -> Iterator[SimilarityBlock]:
    for row_start in range(0, len(units), block):
        rows = units[row_start : row_start + block]
        for col_start in range(row_start, len(units), block):
            similarities = rows @ units[col_start : col_start + block].T
            np.clip(similarities, -1, 1, out=similarities)
            if col_start == row_start:
                similarities[np.tri(len(rows), dtype=np.bool_)] = np.nan
            yield SimilarityBlock(row_start, col_start, similarities)


def _find_mated(part: SimilarityBlock, identity: IndexArray) -> npt.NDArray[np.bool_] | None:
    """Which entries are mated; None where none is and all are comparisons."""
    row_count, col_count = part.similarities.shape
    of_rows = identity[part.row_start : part.row_start + row_count]
    of_cols = identity[part.col_start : part.col_start + col_count]
    if part.row_start != part.col_start and of_rows[-1] < of_cols[0]:
        return None
    same: npt.NDArray[np.bool_] = of_rows[:, None] == of_cols[None]
    return same & ~np.isnan(part.similarities)


class _Highest:
    """The highest scores of a stream."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._candidates: list[Float32Array] = []
        self._candidate_count = 0
        self._lowest = np.float32(-np.inf)

    def add(self, scores: Float32Array) -> None:
        # Of equal scores it does not matter which one is kept.
        better = scores[scores > self._lowest]
        self._candidates.append(better)
        self._candidate_count += len(better)
        if self._candidate_count > 2 * self._count + _CANDIDATES:
            self._select()

    def descending(self) -> Float32Array:
        self._select()
        return np.sort(self._candidates[0])[::-1]

    def _select(self) -> None:
        scores = np.concatenate(self._candidates)
        if len(scores) > self._count:
            scores = np.partition(scores, -self._count)[-self._count :]
            self._lowest = scores[0]
        self._candidates, self._candidate_count = [scores], len(scores)


def _count_into(histogram: npt.NDArray[np.int64], scores: Float32Array) -> None:
    for start in range(0, len(scores), _COUNTED_AT_ONCE):
        scaled = scores[start : start + _COUNTED_AT_ONCE] * np.float32(_BINS_PER_UNIT)
        bins = np.floor(scaled, out=scaled).astype(np.int64)
        bins += _BINS_PER_UNIT
        histogram += np.bincount(bins, minlength=len(histogram))


def _count_mated(sorted_identity: IndexArray) -> int:
    _, counts = np.unique(sorted_identity, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


def _check_identity(identity: IndexArray, count: int) -> None:
    if identity.shape != (count,) or not np.issubdtype(identity.dtype, np.integer):
        raise InvalidArgumentError(
            f"evaluate: expected identity to be integers of shape [{count}], got {identity.dtype}"
            f" of shape {list(identity.shape)}; give a number for each sample's person"
        )
    unknown = np.flatnonzero(identity < 0)
    if len(unknown):
        raise InvalidArgumentError(
            f"evaluate: expected identity to be 0 or above, got {identity[unknown[0]]} for"
            f" {list_positions(unknown)}; leave samples of unknown persons out"
        )
