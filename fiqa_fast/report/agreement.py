"""How far the outputs rank the faces alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fiqa_fast.report.scores import OutputScores
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


def agreement_matrix(outputs: Sequence[OutputScores], face_count: int) -> list[list[float | None]]:
    """Spearman's rho between the oriented scores of every two outputs, over their common faces."""
    by_face = np.full((len(outputs), face_count), np.nan)
    for row, scores in zip(by_face, outputs, strict=True):
        row[scores.face] = scores.oriented
    matrix: list[list[float | None]] = [[None] * len(outputs) for _ in outputs]
    for i, a in enumerate(by_face):
        for j, b in enumerate(by_face[:i]):
            common = np.isfinite(a) & np.isfinite(b)
            matrix[i][j] = matrix[j][i] = correlate_ranks(a[common], b[common])
    return matrix


def _rank(values: Float64Array) -> Float64Array:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: Float64Array = last - (counts - 1) / 2
    return mean_rank[inverse]
