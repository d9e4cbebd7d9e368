"""Rank correlation: how far two sets of numbers order the same faces alike."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fiqa_fast.types import Float64Array

IntArray = npt.NDArray[np.int64]


def correlate_ranks(a: Float64Array, b: Float64Array) -> float | None:
    """Spearman's rho, ties ranked by their mean; None where one side orders nothing.

    Args:
        a, b: float64 [N], finite.
    """
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    rho = float(np.corrcoef(mean_ranks(a), mean_ranks(b))[0, 1])
    return min(1.0, max(-1.0, rho))


def correlate_pair_order(a: Float64Array, b: Float64Array) -> float | None:
    """Kendall's tau-b; None where one side orders nothing.

    Of all pairs of faces, those that both sides order alike minus those that they order
    differently, over the geometric mean of those that each side orders (M. G. Kendall, "The
    Treatment of Ties in Ranking Problems", Biometrika 33, 1945). In O(N log N), as W. R. Knight
    showed ("A Computer Method for Calculating Kendall's Tau with Ungrouped Data", JASA 61, 1966).

    Args:
        a, b: float64 [N], finite.
    """
    level_a, counts_a = _levels(a)
    level_b, counts_b = _levels(b)
    if len(counts_a) < 2 or len(counts_b) < 2:
        return None
    # Faces that `a` does not order stand ascending in `b`: no inversion among them.
    order = np.lexsort((level_b, level_a))
    discordant = count_inversions(level_b[order])
    _, counts_both = _levels(level_a * len(counts_b) + level_b)
    pairs = len(a) * (len(a) - 1) // 2
    ordered_a, ordered_b = pairs - _tied_pairs(counts_a), pairs - _tied_pairs(counts_b)
    ordered_by_both = ordered_a + ordered_b - pairs + _tied_pairs(counts_both)
    tau = (ordered_by_both - 2 * discordant) / math.sqrt(ordered_a) / math.sqrt(ordered_b)
    return min(1.0, max(-1.0, tau))


def mean_ranks(values: Float64Array) -> Float64Array:
    """Ranks from 1 on, equal values sharing the mean of theirs; float64 [N]."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: Float64Array = last - (counts - 1) / 2
    return mean_rank[inverse]


def count_inversions(values: IntArray) -> int:
    """How many pairs stand the wrong way round: i < j and values[i] > values[j].

    Two numbers are compared at the highest bit in which they differ. There the array is sorted by
    the bits above, equal ones in their first order, and a 1 before a 0 is an inversion. Unlike the
    merges of a merge sort, all groups of one bit are one operation.

    Args:
        values: int64 [N], 0 or above.
    """
    if len(values) < 2:
        return 0
    inversions = 0
    position = np.arange(len(values))
    for bit in reversed(range(int(values.max()).bit_length())):
        above, ones = values >> (bit + 1), (values >> bit) & 1
        starts = np.flatnonzero(np.concatenate([[True], above[1:] != above[:-1]]))
        sizes = np.diff(np.append(starts, len(values)))
        ones_before = np.cumsum(ones) - ones
        ones_before -= np.repeat(ones_before[starts], sizes)  # in its own group only
        inversions += int(ones_before[ones == 0].sum())
        zeros = sizes - np.add.reduceat(ones, starts)
        behind_zeros = np.repeat(starts + zeros, sizes) + ones_before
        target = np.where(ones == 1, behind_zeros, position - ones_before)
        regrouped = np.empty_like(values)
        regrouped[target] = values
        values = regrouped
    return inversions


def _levels(values: npt.NDArray[np.generic]) -> tuple[IntArray, IntArray]:
    """The position of each value among the distinct ones, and how often each of those occurs."""
    _, level, counts = np.unique(values, return_inverse=True, return_counts=True)
    return level.astype(np.int64), counts.astype(np.int64)


def _tied_pairs(counts: IntArray) -> int:
    return int((counts * (counts - 1) // 2).sum())
