"""Error-versus-discard curves (EDC; also ERC): what is left of the errors of recognition when the
comparisons of lowest quality are discarded. Plain functions of arrays.

Two policies about the decision threshold are in use, and their numbers cannot be compared:

- "fixed" (P. Grother and E. Tabassi, IEEE TPAMI 29, 2007; ISO/IEC 29794-1): the threshold is
  chosen before anything is discarded. Mated comparisons are discarded for the FNMR, non-mated ones
  for the FMR; those of equal quality go together, so that every distinct quality is one step.
- "per_discard" (what CR-FIQA and GraFIQs publish): 20 discard fractions 0, .05, ... .95 of mated
  and non-mated comparisons together; the threshold is chosen anew among those that are left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.error_rates import at_or_above
from fiqa_fast.evaluation.pair_quality import LevelArray, PairLevels
from fiqa_fast.quality.discard import find_decision_threshold
from fiqa_fast.types import Float64Array

ScoreArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

THRESHOLD_POLICIES = ("fixed", "per_discard")
ERRORS = ("fnmr", "fmr")
DISCARD_STEPS = 20
"""Of the policy "per_discard": fractions 0, 1/20, ... 19/20."""


@dataclass(frozen=True)
class EdcCurve:
    """One curve.

    Attributes:
        error: "fnmr" or "fmr".
        threshold_policy: "fixed" or "per_discard".
        discard_fraction: float64 [P], ascending from 0. With "fixed" the last point is (1, 0).
        error_rate: float64 [P]: of the comparisons that are kept.
        decision_threshold: float64 [P]: comparison scores at or above it match; all the same with
            "fixed".
        kept: int64 [P]: comparisons of the kind of the error (mated for the FNMR) that are kept.
    """

    error: str
    threshold_policy: str
    discard_fraction: Float64Array
    error_rate: Float64Array
    decision_threshold: Float64Array
    kept: IntArray


def fixed_threshold_curve(
    levels: PairLevels,
    comparison_scores: ScoreArray,
    mated: BoolArray,
    decision_threshold: float,
    error: str = "fnmr",
) -> EdcCurve:
    """The curve at one decision threshold, one point for each distinct quality.

    Args:
        levels: pair qualities of the N comparisons; those of level -1 are left out.
        comparison_scores: [N]; higher is more alike.
        mated: bool [N].
        decision_threshold: see `threshold_at_fmr`.
        error: "fnmr" (mated comparisons) or "fmr" (non-mated).

    Raises:
        InvalidArgumentError: an unknown error, or no comparison of its kind.
    """
    if error not in ERRORS:
        raise InvalidArgumentError(
            f"evaluate: expected error to be one of {', '.join(ERRORS)}, got {error!r};"
            " choose one of them"
        )
    counted = (mated if error == "fnmr" else ~mated) & (levels.level >= 0)
    level, scores = levels.level[counted], comparison_scores[counted]
    if not len(level):
        kind = "mated" if error == "fnmr" else "non-mated"
        raise InvalidArgumentError(
            f"evaluate: expected {kind} comparisons with a quality for the {error.upper()}, got"
            " none; check the labels, and that the samples have scores"
        )
    matches = at_or_above(scores, decision_threshold)
    wrong = ~matches if error == "fnmr" else matches
    in_level = np.bincount(level, minlength=len(levels.value))
    wrong_in_level = np.bincount(level[wrong], minlength=len(levels.value))
    return curve_of_levels(in_level, wrong_in_level, decision_threshold, error)


def curve_of_levels(
    in_level: npt.NDArray[np.integer] | Float64Array,
    wrong_in_level: npt.NDArray[np.integer] | Float64Array,
    decision_threshold: float,
    error: str = "fnmr",
) -> EdcCurve:
    """The curve with a fixed threshold from what each level holds.

    Args:
        in_level: [L], their comparisons (or the sums of their weights).
        wrong_in_level: [L], those of them that are wrong.
    """
    present = in_level > 0
    counts, wrong = in_level[present], wrong_in_level[present]
    total = counts.sum()
    kept = total - np.concatenate([[0], np.cumsum(counts)])
    wrong_kept = wrong.sum() - np.concatenate([[0], np.cumsum(wrong)])
    points = len(kept)
    rate = np.zeros(points)
    np.divide(wrong_kept[:-1], kept[:-1], out=rate[:-1])
    discarded = (total - kept) / total
    discarded[-1] = 1.0
    return EdcCurve(
        error=error,
        threshold_policy="fixed",
        discard_fraction=discarded,
        error_rate=rate,
        decision_threshold=np.full(points, decision_threshold),
        kept=np.rint(kept).astype(np.int64),
    )


def threshold_at_fmr(
    levels: PairLevels, comparison_scores: ScoreArray, mated: BoolArray, fmr: float
) -> float:
    """The lowest threshold whose FMR, over all non-mated comparisons, is at most `fmr`."""
    return find_decision_threshold(comparison_scores[~mated & (levels.level >= 0)], fmr)


def per_discard_curve(
    levels: PairLevels, comparison_scores: ScoreArray, mated: BoolArray, fmr: float
) -> EdcCurve:
    """The FNMR over 20 discard fractions, with the threshold chosen anew at each, as published.

    Of N comparisons in ascending quality (ties in their given order), the first int(u N) are
    discarded, mated and non-mated ones together. Among the scores of those that are left, the
    threshold is the one whose FMR is nearest to `fmr` (of two the higher rate, then the lowest
    score); the FNMR counts mated comparisons at or *below* it. These are the conventions of
    CR-FIQA's evaluation, which GraFIQs shares; it works on distances arccos(score) / pi, of which
    only the order counts.

    Args:
        levels: pair qualities of the N comparisons; those of level -1 are left out.
        comparison_scores: [N], finite; higher is more alike.
        mated: bool [N].
        fmr: false match rate aimed at, 0 < fmr < 1.

    Raises:
        InvalidArgumentError: a step is left without mated or without non-mated comparisons.
    """
    used = levels.level >= 0
    if not used.all():
        comparison_scores, mated = comparison_scores[used], mated[used]
    level = levels.level if used.all() else levels.level[used]
    step = _discard_step(level, len(levels.value))
    non_mated = ~mated
    order = np.argsort(comparison_scores[non_mated])
    impostors, impostor_step = comparison_scores[non_mated][order], step[non_mated][order]
    genuine, genuine_step = comparison_scores[mated], step[mated]

    rates, thresholds, kept = [], [], []
    for number in range(DISCARD_STEPS):
        left = impostor_step >= number
        impostors, impostor_step = impostors[left], impostor_step[left]
        left = genuine_step >= number
        genuine, genuine_step = genuine[left], genuine_step[left]
        if not len(impostors) or not len(genuine):
            raise InvalidArgumentError(
                "evaluate: expected mated and non-mated comparisons at every discard fraction, got"
                f" {len(genuine)} and {len(impostors)} with {number / DISCARD_STEPS:.0%} of all"
                " discarded; this policy needs more comparisons: use threshold_policy 'fixed'"
                " (--threshold-policy fixed)"
            )
        threshold = _nearest_threshold(genuine, impostors, fmr)
        rates.append(np.count_nonzero(genuine <= threshold) / len(genuine))
        thresholds.append(threshold)
        kept.append(len(genuine))
    return EdcCurve(
        error="fnmr",
        threshold_policy="per_discard",
        discard_fraction=discard_fractions(),
        error_rate=np.asarray(rates),
        decision_threshold=np.asarray(thresholds),
        kept=np.asarray(kept, dtype=np.int64),
    )


def discard_fractions() -> Float64Array:
    """0, .05, ... .95."""
    return np.asarray(0.05 * np.arange(DISCARD_STEPS), dtype=np.float64)


def _discard_step(level: LevelArray, level_count: int) -> npt.NDArray[np.uint8]:
    """For each comparison the last step at which it is still there: uint8 [N], 0..19.

    A level that ends at or before a step's cut is gone there; of one that the cut splits, the first
    comparisons are.
    """
    count = len(level)
    below = np.concatenate([[0], np.cumsum(np.bincount(level, minlength=level_count))])
    cuts = [int(fraction * count) for fraction in discard_fractions()]
    step = (np.searchsorted(cuts, below[1:], side="left") - 1).astype(np.uint8)[level]
    for number, cut in enumerate(cuts[1:], start=1):
        split = int(np.searchsorted(below, cut, side="right")) - 1
        if below[split] == cut:
            continue
        members = np.flatnonzero(level == split)[: cut - below[split]]
        step[members] = np.minimum(step[members], number - 1)
    return step


def _nearest_threshold(genuine: ScoreArray, impostors: ScoreArray, fmr: float) -> float:
    """The score with the FMR nearest to `fmr`; `impostors` ascending."""
    total = len(impostors)
    near = min(int(fmr * total) + 1, total)
    # Equal scores match together: the whole group that the wanted number ends in, or none of it.
    value = impostors[total - near]
    counts = [total - int(np.searchsorted(impostors, value, side="left"))]
    above = total - int(np.searchsorted(impostors, value, side="right"))
    if above or genuine.max() > impostors[-1]:
        counts.append(above)
    count = min(counts, key=lambda c: abs(c / total - fmr))  # of two, the first: the higher rate
    lowest_match = impostors[total - count] if count else np.inf
    if count == total:
        return float(min(lowest_match, genuine.min()))
    # Of the scores that let this many match, the lowest: perhaps that of a mated comparison.
    refused = impostors[total - count - 1]
    return float(min(lowest_match, genuine[genuine > refused].min(initial=np.inf)))
