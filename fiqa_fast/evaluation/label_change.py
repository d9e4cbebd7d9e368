"""What an optimisation of quality labels changed: the labels before and after it.

For the scatter of "Optimization-Based Improvement of Face Image Quality Assessment Techniques"
(Ž. Babnik et al., IWBF 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.ranks import correlate_ranks, mean_ranks
from fiqa_fast.types import Float64Array


@dataclass(frozen=True)
class LabelChange:
    """How labels moved.

    Attributes:
        rank_shift: float64 [S]: rank after minus rank before, equal labels sharing their mean rank;
            above 0: the sample is held for better than before.
        moved_fraction: part of the samples whose rank changed.
        spearman: rank correlation of before and after; None where one orders nothing.
        drawn: int64 [P], ascending: the samples that a scatter shows.
        drawn_original, drawn_optimised: float64 [P]: their labels.
    """

    rank_shift: Float64Array
    moved_fraction: float
    spearman: float | None
    drawn: npt.NDArray[np.int64]
    drawn_original: Float64Array
    drawn_optimised: Float64Array


def describe_label_change(
    original: npt.ArrayLike, optimised: npt.ArrayLike, *, points: int = 2000, seed: int = 0
) -> LabelChange:
    """Compares labels before and after an optimisation.

    Args:
        original: [S], finite, higher is better.
        optimised: [S], of the same samples.
        points: at most so many samples are drawn, by chance, the same for the same seed.
        seed: of that choice, 0 or above.

    Raises:
        InvalidArgumentError: different or wrong shapes, no sample, a label that is not finite,
            points < 1, a negative seed.
    """
    before, after = np.asarray(original, np.float64), np.asarray(optimised, np.float64)
    if before.ndim != 1 or before.shape != after.shape or not len(before):
        raise InvalidArgumentError(
            "evaluate: expected original and optimised labels of the same shape [S], S > 0, got"
            f" {list(before.shape)} and {list(after.shape)}; give both for each sample"
        )
    unusable = np.flatnonzero(~np.isfinite(before) | ~np.isfinite(after))
    if len(unusable):
        raise InvalidArgumentError(
            f"evaluate: expected finite labels, got {before[unusable[0]]} and {after[unusable[0]]}"
            f" for sample {unusable[0]} ({len(unusable)} such samples); leave them out"
        )
    if points < 1 or seed < 0:
        raise InvalidArgumentError(
            f"evaluate: expected points of 1 or more and a seed of 0 or more, got {points} and"
            f" {seed}; leave them out"
        )
    rank_shift = mean_ranks(after) - mean_ranks(before)
    drawn = np.arange(len(before))
    if len(before) > points:
        drawn = np.sort(np.random.default_rng(seed).choice(len(before), points, replace=False))
    return LabelChange(
        rank_shift=rank_shift,
        moved_fraction=float(np.mean(rank_shift != 0)),
        spearman=correlate_ranks(before, after),
        drawn=drawn,
        drawn_original=before[drawn],
        drawn_optimised=after[drawn],
    )
