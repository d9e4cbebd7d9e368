"""The two kinds of calibration: where a raw score stands in a reference set, 0..100.

Both give 0 for low raw scores and 100 for high ones; `Calibration` turns the scale round for
methods whose lower scores are better. Both are monotone to the last bit: each is a chain of rounded
operations that are monotone themselves.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import Float64Array

MINIMUM_FACES = 20
"""Of a reference set: with fewer, one face moves a quality by more than 5 points."""

_KNOTS = 101
_LARGEST = 1e300  # differences of such numbers do not overflow
_SMALLEST_LOGIT = -700.0  # exp(700) is still a finite number


@dataclass(frozen=True)
class Percentiles:
    """The percentage of the reference faces that have a lower raw score.

    Between two knots it rises in a straight line; a score that many reference faces share stands
    in the middle of them.

    Attributes:
        raw_scores: 101 numbers, ascending: the 0th, 1st, ... 100th percentile of the raw scores.

    Raises:
        InvalidArgumentError: other than 101 knots, or not ascending finite numbers.
    """

    kind: ClassVar[str] = "percentile"

    raw_scores: tuple[float, ...]

    def __post_init__(self) -> None:
        ascending = all(low <= high for low, high in pairwise(self.raw_scores))
        in_range = all(abs(value) <= _LARGEST for value in self.raw_scores)
        if len(self.raw_scores) != _KNOTS or not (ascending and in_range):
            raise InvalidArgumentError(
                f"calibration: expected raw_scores to be {_KNOTS} ascending numbers within"
                f" +-{_LARGEST:g}, got {len(self.raw_scores)} numbers; fit them with"
                " `fit_percentiles`"
            )

    def position(self, raw_score: float) -> float:
        """Where a finite raw score stands: 0 (below every reference face) to 100 (above)."""
        return (self._rise(raw_score, bisect_left) + self._rise(raw_score, bisect_right)) / 2

    def _rise(self, raw_score: float, bisect: Callable[[tuple[float, ...], float], int]) -> float:
        knots = self.raw_scores
        above = bisect(knots, raw_score)
        if above in (0, _KNOTS):
            return 0.0 if above == 0 else 100.0
        low, high = knots[above - 1], knots[above]
        return (above - 1) + (raw_score - low) / (high - low)


@dataclass(frozen=True)
class Sigmoid:
    """A logistic curve: 100 / (1 + exp(-(raw_score - x0) / w)).

    The form of the quality components of OFIQ, the reference implementation of ISO/IEC 29794-5.
    Unlike percentiles it still tells scores apart that lie outside the reference set.

    Attributes:
        x0: raw score that gives 50.
        w: width of the curve, above 0.

    Raises:
        InvalidArgumentError: not finite, or w not above 0.
    """

    kind: ClassVar[str] = "sigmoid"

    x0: float
    w: float

    def __post_init__(self) -> None:
        if not (abs(self.x0) <= _LARGEST and 0 < self.w <= _LARGEST):
            raise InvalidArgumentError(
                f"calibration: expected finite x0 and w above 0, got x0={self.x0!r} and"
                f" w={self.w!r}; fit them with `fit_sigmoid`"
            )

    def position(self, raw_score: float) -> float:
        """Where a finite raw score stands: 0 to 100."""
        logit = max((raw_score - self.x0) / self.w, _SMALLEST_LOGIT)
        return 100 / (1 + math.exp(-logit))


Scale = Percentiles | Sigmoid


def fit_percentiles(raw_scores: Float64Array) -> Percentiles:
    """Percentiles of a reference set.

    Args:
        raw_scores: float64 [N], one for each reference face, all finite.

    Raises:
        InvalidArgumentError: fewer than MINIMUM_FACES scores, or some are not finite.
    """
    _check_scores(raw_scores)
    return Percentiles(tuple(np.percentile(raw_scores, np.linspace(0, 100, _KNOTS)).tolist()))


def fit_sigmoid(raw_scores: Float64Array) -> Sigmoid:
    """The logistic curve with a reference set's median and interquartile range.

    The quartiles of a logistic distribution lie at x0 -+ w ln 3, so those of a symmetric reference
    set get the positions 25 and 75.

    Args:
        raw_scores: float64 [N], one for each reference face, all finite.

    Raises:
        InvalidArgumentError: fewer than MINIMUM_FACES scores, some are not finite, or the quartiles
            are equal.
    """
    _check_scores(raw_scores)
    low, median, high = np.percentile(raw_scores, (25, 50, 75)).tolist()
    if not high > low:
        raise InvalidArgumentError(
            f"calibration: expected raw_scores whose quartiles differ, got {low!r} for both;"
            " use the kind percentile"
        )
    return Sigmoid(x0=median, w=(high - low) / (2 * math.log(3)))


def _check_scores(raw_scores: Float64Array) -> None:
    finite = int((np.abs(raw_scores) <= _LARGEST).sum())
    if finite < max(len(raw_scores), MINIMUM_FACES):
        raise InvalidArgumentError(
            f"calibration: expected at least {MINIMUM_FACES} faces, all with a finite raw score,"
            f" got {len(raw_scores)} of which {finite} have one; score more faces"
        )
