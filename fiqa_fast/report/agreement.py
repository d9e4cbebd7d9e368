"""How far the outputs rank the faces alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fiqa_fast.ranks import correlate_ranks
from fiqa_fast.report.scores import OutputScores


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
