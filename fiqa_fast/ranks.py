"""Rank correlation: how far two sets of numbers order the same faces alike."""

from __future__ import annotations

import numpy as np

from fiqa_fast.types import Float64Array


def correlate_ranks(a: Float64Array, b: Float64Array) -> float | None:
    """Spearman's rho, ties ranked by their mean; None where one side orders nothing.

    Args:
        a, b: float64 [N], finite.
    """
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    rho = float(np.corrcoef(_rank(a), _rank(b))[0, 1])
    return min(1.0, max(-1.0, rho))


def _rank(values: Float64Array) -> Float64Array:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: Float64Array = last - (counts - 1) / 2
    return mean_rank[inverse]
