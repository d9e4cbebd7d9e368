"""Which faces a contact sheet shows, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiqa_fast.report.scores import IntArray, OutputScores


@dataclass(frozen=True)
class RankedFaces:
    """The faces to show of one output: positions in its arrays, the best first.

    Attributes:
        best: int64 [B], ranks 1 to B.
        worst: int64 [W], the last W ranks; empty where `best` holds all faces.
        left_out: how many faces lie between the two.
        by_quality: whether quality ranked them (else the oriented raw score).
    """

    best: IntArray
    worst: IntArray
    left_out: int
    by_quality: bool

    @property
    def first_worst_rank(self) -> int:
        """Rank of the first face of `worst`, counted from 1."""
        return len(self.best) + self.left_out + 1


def rank_faces(scores: OutputScores, max_faces: int) -> RankedFaces:
    """Ranks by quality, best first; by oriented raw score where some face has no quality.

    Equal qualities (a calibration saturates) are ranked by raw score, and equal scores keep the
    table's order.

    Args:
        scores: of one output.
        max_faces: with more faces than this, only the best and the worst halves are shown.
    """
    oriented = scores.oriented
    by_quality = scores.has_quality
    main = scores.quality if by_quality else oriented
    order = np.lexsort((-oriented, -main)).astype(np.int64)
    if len(order) <= max_faces:
        return RankedFaces(order, order[:0], 0, by_quality)
    worst_count = max_faces // 2
    best = order[: max_faces - worst_count]
    worst = order[len(order) - worst_count :]
    return RankedFaces(best, worst, len(order) - max_faces, by_quality)
