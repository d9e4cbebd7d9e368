"""False match and non-match rates, DET and EER. Plain functions of arrays.

Samples match when their comparison score is at or above the decision threshold (ISO/IEC 19795-1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import Float64Array

ScoreArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DetCurve:
    """The rates at every threshold that changes one of them, thresholds ascending.

    Attributes:
        decision_threshold: float64 [T].
        fmr: float64 [T]: descending, 0..1.
        fnmr: float64 [T]: ascending, 0..1.
    """

    decision_threshold: Float64Array
    fmr: Float64Array
    fnmr: Float64Array


def split_scores(comparison_scores: ScoreArray, mated: BoolArray) -> tuple[ScoreArray, ScoreArray]:
    """The scores of mated and of non-mated comparisons.

    Args:
        comparison_scores: [N], finite; higher is more alike.
        mated: bool [N].

    Raises:
        InvalidArgumentError: shapes differ, scores are not finite, or one of the two is empty.
    """
    if comparison_scores.shape != mated.shape or comparison_scores.ndim != 1:
        raise InvalidArgumentError(
            "evaluate: expected comparison_scores and mated of the same shape [N], got"
            f" {list(comparison_scores.shape)} and {list(mated.shape)}; give one of each for"
            " every comparison"
        )
    # A sum is finite only where all are (float64 cannot overflow from scores of a recognition).
    if not np.isfinite(comparison_scores.sum(dtype=np.float64)):
        bad = int((~np.isfinite(comparison_scores)).sum())
        raise InvalidArgumentError(
            f"evaluate: expected finite comparison scores, got {bad} that are not; samples without"
            " an embedding have none: leave their comparisons out (--missing drop)"
        )
    mated_scores, non_mated_scores = comparison_scores[mated], comparison_scores[~mated]
    if not len(mated_scores) or not len(non_mated_scores):
        raise InvalidArgumentError(
            f"evaluate: expected mated and non-mated comparisons, got {len(mated_scores)} and"
            f" {len(non_mated_scores)}; the FNMR needs mated ones, decision thresholds non-mated"
            " ones"
        )
    return mated_scores, non_mated_scores


def at_or_above(comparison_scores: ScoreArray, decision_threshold: float) -> BoolArray:
    """Which comparisons match: bool [N].

    Beside float32 scores numpy would round a plain float to float32, and a threshold just above a
    score would become that score.
    """
    return np.asarray(comparison_scores >= np.float64(decision_threshold))


def false_match_rate(non_mated_scores: ScoreArray, decision_threshold: float) -> float:
    """Part of the non-mated comparisons that match."""
    matches = np.count_nonzero(at_or_above(non_mated_scores, decision_threshold))
    return matches / len(non_mated_scores)


def false_non_match_rate(mated_scores: ScoreArray, decision_threshold: float) -> float:
    """Part of the mated comparisons that do not match."""
    matches = np.count_nonzero(at_or_above(mated_scores, decision_threshold))
    return 1 - matches / len(mated_scores)


def trace_det(mated_scores: ScoreArray, non_mated_scores: ScoreArray) -> DetCurve:
    """The detection error trade-off: both rates over all thresholds.

    Args:
        mated_scores: [M], finite, M > 0.
        non_mated_scores: [N], finite, N > 0.

    Returns:
        From the threshold that every comparison reaches (FMR 1, FNMR 0) to one above all.
    """
    mated, non_mated = np.sort(mated_scores), np.sort(non_mated_scores)
    highest = np.nextafter(np.float64(max(mated[-1], non_mated[-1])), np.inf)
    thresholds = np.concatenate([_distinct(mated), _distinct(non_mated), [highest]])
    thresholds = np.unique(thresholds.astype(np.float64))
    below_mated = np.searchsorted(mated, thresholds, side="left")
    below_non_mated = np.searchsorted(non_mated, thresholds, side="left")
    return DetCurve(
        decision_threshold=thresholds,
        fmr=(len(non_mated) - below_non_mated) / len(non_mated),
        fnmr=below_mated / len(mated),
    )


def thin_det(det: DetCurve, max_points: int) -> DetCurve:
    """At most so many points of a curve, evenly in log FMR, where it is read, and in FNMR."""
    if len(det.fmr) <= max_points:
        return det
    half = max_points // 2 - 1
    by_fmr = np.searchsorted(-det.fmr, -np.geomspace(det.fmr[det.fmr > 0][-1], 1, half))
    by_fnmr = np.searchsorted(det.fnmr, np.linspace(0, 1, half))
    chosen = np.unique(np.concatenate([[0], by_fmr, by_fnmr, [len(det.fmr) - 1]]))
    return DetCurve(det.decision_threshold[chosen], det.fmr[chosen], det.fnmr[chosen])


def equal_error_rate(det: DetCurve) -> tuple[float, float]:
    """Mean of FMR and FNMR at the threshold where they differ least, and that threshold."""
    nearest = int(np.argmin(np.abs(det.fmr - det.fnmr)))
    rate = (det.fmr[nearest] + det.fnmr[nearest]) / 2
    return float(rate), float(det.decision_threshold[nearest])


def _distinct(ascending: ScoreArray) -> ScoreArray:
    first: BoolArray = np.concatenate([[True], ascending[1:] != ascending[:-1]])
    return np.asarray(ascending[first])
