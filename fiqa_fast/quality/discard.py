"""How the error of recognition falls when the worst comparisons are discarded (EDC, also ERC).

Plain functions of arrays. P. Grother and E. Tabassi, "Performance of Biometric Quality Measures"
(IEEE TPAMI 29, 2007), section 5: the decision threshold is fixed before anything is discarded.
Comparisons of equal pair quality are discarded together, so a curve has one step for each distinct
value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiqa_fast.types import Float64Array

BoolArray = npt.NDArray[np.bool_]
ScoreArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class DiscardSteps:
    """One step for each distinct pair quality, ascending. Nothing is discarded at the first.

    Attributes:
        quality_threshold: float64 [S]: comparisons with a lower pair quality are discarded.
        discard_fraction: float64 [S]: the part of the comparisons that is discarded, 0 <= f < 1.
        fnmr: float64 [S]: the false non-match rate of those that are kept.
    """

    quality_threshold: Float64Array
    discard_fraction: Float64Array
    fnmr: Float64Array


def find_decision_threshold(non_mated_scores: ScoreArray, fmr: float) -> float:
    """The lowest decision threshold whose false match rate is at most `fmr`.

    Two samples match when their comparison score is at or above the threshold.

    Args:
        non_mated_scores: [N], N > 0, finite; higher is more alike.
        fmr: 0 <= fmr < 1.
    """
    count = len(non_mated_scores)
    place = count - 1 - count_allowed_matches(count, fmr)
    best_refused = np.partition(non_mated_scores, place)[place]
    return float(np.nextafter(best_refused, np.inf, dtype=np.float64))


def count_allowed_matches(non_mated_count: int, fmr: float) -> int:
    """How many of the non-mated comparisons may match: the largest number n with n / N <= fmr."""
    guess = int(fmr * non_mated_count)
    # The product is rounded, and so is the quotient that the rate is: one more or one less.
    candidates = range(max(0, guess - 1), min(non_mated_count, guess + 1) + 1)
    return max(n for n in candidates if n / non_mated_count <= fmr)


def describe_resolution(non_mated_count: int, fmr: float) -> str | None:
    """A warning where there are too few non-mated comparisons to tell this FMR from zero."""
    if fmr * non_mated_count >= 1:
        return None
    return (
        f"{non_mated_count} non-mated comparisons cannot resolve an FMR of {fmr:g}: the"
        " decision threshold lies above all of them; at least"
        f" {int(np.ceil(1 / fmr))} are needed"
    )


def trace_discard_steps(pair_quality: Float64Array, non_match: BoolArray) -> DiscardSteps:
    """The false non-match rate at every discard fraction that can be reached.

    Args:
        pair_quality: float64 [N], N > 0: of each mated comparison the lower quality of its two
            samples, higher is better. Only their order and ties count.
        non_match: bool [N]: whether the comparison score is below the decision threshold.
    """
    count = len(pair_quality)
    order = np.argsort(pair_quality, kind="stable")
    thresholds, discarded = np.unique(pair_quality[order], return_index=True)
    errors_below = np.concatenate([[0], np.cumsum(non_match[order])])
    return DiscardSteps(
        quality_threshold=thresholds,
        discard_fraction=discarded / count,
        fnmr=(errors_below[-1] - errors_below[discarded]) / (count - discarded),
    )


def step_for_discard_fraction(steps: DiscardSteps, discard_fraction: float) -> int:
    """The last step that discards at most this part, 0 <= discard_fraction < 1, of comparisons."""
    return int(np.searchsorted(steps.discard_fraction, discard_fraction, side="right")) - 1


def step_for_fnmr(steps: DiscardSteps, fnmr: float) -> int | None:
    """The first step whose false non-match rate is at most `fnmr`; None where there is none."""
    reached = np.flatnonzero(steps.fnmr <= fnmr)
    return int(reached[0]) if len(reached) else None
