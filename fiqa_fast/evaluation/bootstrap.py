"""How sure an area under an EDC curve is: bootstrap over the identities.

Comparisons of one person are not independent, so whole identities are drawn with replacement: a
mated comparison counts as often as its person was drawn, a non-mated one as often as the product of
its two persons' numbers (R. M. Bolle et al., "Error analysis of pattern recognition systems: the
subsets bootstrap", 2004). Where nobody knows the identities, comparisons are drawn, which makes
intervals too narrow. All methods see the same draws, so that their differences can be tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.areas import area_under_edc
from fiqa_fast.evaluation.edc import EdcCurve, curve_of_levels, per_discard_curve
from fiqa_fast.evaluation.error_rates import at_or_above
from fiqa_fast.evaluation.pair_quality import IndexArray, PairLevels
from fiqa_fast.quality.discard import count_allowed_matches
from fiqa_fast.types import Float64Array

ScoreArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]
TimesArray = npt.NDArray[np.int32]

DEFAULT_REPEATS = 100
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Groups:
    """Whose comparisons they are.

    Attributes:
        of_a, of_b: integers [N], 0 <= number < count: the identities of the two samples.
        count: of identities.
    """

    of_a: IndexArray
    of_b: IndexArray
    count: int


@dataclass(frozen=True)
class AreaRule:
    """Which area: `areas.area_under_edc`."""

    rule: str
    limit: float


@dataclass(frozen=True)
class BootstrapDraws:
    """What the draws gave; NaN for a draw without comparisons of both kinds.

    Attributes:
        areas: float64 [repeats, methods, areas].
        error_rates_at_0: float64 [repeats, methods]: without discarding.
    """

    areas: Float64Array
    error_rates_at_0: Float64Array

    def normalised(self, method: int, area: int, limit: float) -> Float64Array:
        """Areas over those of random discarding in the same draw: float64 [repeats].

        How hard the drawn comparisons are moves an area far more than how good the method is, but
        not this ratio. NaN where nothing is wrong.
        """
        random = self.error_rates_at_0[:, method] * limit
        normalised = np.full(len(random), np.nan)
        np.divide(self.areas[:, method, area], random, out=normalised, where=random > 0)
        return normalised


@dataclass(frozen=True)
class Interval:
    """A percentile interval; NaN where no draw had both kinds of comparisons."""

    low: float
    high: float


def bootstrap_areas(
    methods: Sequence[PairLevels],
    comparison_scores: ScoreArray,
    mated: BoolArray,
    groups: Groups | None,
    areas: Sequence[AreaRule],
    *,
    fmr: float | None = None,
    decision_threshold: float | None = None,
    threshold_policy: str = "fixed",
    repeats: int = DEFAULT_REPEATS,
    seed: int = 0,
) -> BootstrapDraws:
    """Areas under the FNMR curves of methods over comparisons drawn anew.

    The decision threshold for an FMR is chosen anew in every draw, since it is part of what is
    uncertain. Memory grows with the comparisons, not with the draws.

    Args:
        methods: pair qualities of the N comparisons by each method.
        comparison_scores: [N], finite.
        mated: bool [N].
        groups: identities; None draws comparisons.
        areas: what is computed of each curve.
        fmr: false match rate that decides the threshold; or
        decision_threshold: a threshold that stays (policy "fixed" only).
        threshold_policy: "fixed" or "per_discard".
        repeats: draws, 2 or more.
        seed: of the draws.

    Raises:
        InvalidArgumentError: fewer than 2 repeats; neither or both of fmr and decision_threshold;
            a mated comparison of two identities, or a non-mated one of one.
    """
    if repeats < 2:
        raise InvalidArgumentError(
            f"evaluate: expected 2 or more bootstrap repeats, got {repeats}; 100 is usual"
        )
    by_fmr = fmr is not None and decision_threshold is None
    if not by_fmr and (fmr is not None or decision_threshold is None):
        raise InvalidArgumentError(
            "evaluate: expected either fmr or decision_threshold, got"
            f" {fmr!r} and {decision_threshold!r}; give one of them"
        )
    if not by_fmr and threshold_policy != "fixed":
        raise InvalidArgumentError(
            f"evaluate: expected fmr for threshold_policy {threshold_policy!r}, got a decision"
            " threshold; it is chosen anew at every discard fraction"
        )
    if groups is not None:
        _check_groups(groups, mated)
    result = np.full((repeats, len(methods), len(areas)), np.nan)
    at_0 = np.full((repeats, len(methods)), np.nan)
    for place, levels in enumerate(methods):
        used = levels.level >= 0
        kinds = _Kinds(_select(groups, mated & used, mated), _select(groups, ~mated & used, mated))
        sampler = (
            _FixedThreshold(levels, comparison_scores, kinds, fmr, decision_threshold)
            if threshold_policy == "fixed"
            else _PerDiscard(levels, comparison_scores, mated, kinds, fmr or 0.0)
        )
        for number, times in enumerate(_draws(groups, mated, repeats, seed)):
            curve = sampler.curve(times)
            if curve is not None:
                at_0[number, place] = curve.error_rate[0]
                result[number, place] = [
                    area_under_edc(curve.discard_fraction, curve.error_rate, a.limit, a.rule)
                    for a in areas
                ]
    return BootstrapDraws(result, at_0)


def confidence_interval(areas: Float64Array, confidence: float = 0.95) -> Interval:
    """The percentile interval of bootstrapped areas, float64 [repeats]."""
    valid = areas[~np.isnan(areas)]
    if not len(valid):
        return Interval(np.nan, np.nan)
    outside = (1 - confidence) / 2
    low, high = np.quantile(valid, (outside, 1 - outside)).tolist()
    return Interval(low, high)


def paired_p_value(areas_a: Float64Array, areas_b: Float64Array) -> float:
    """Two-sided p of the hypothesis that two methods' areas are equal.

    Args:
        areas_a: float64 [repeats], of one method over the draws.
        areas_b: float64 [repeats], of another over the same draws.

    Returns:
        Twice the part of the draws on the rarer side of 0, one draw added to each side; at most 1.
    """
    difference = areas_a - areas_b
    valid = difference[~np.isnan(difference)]
    rarer = min(np.count_nonzero(valid <= 0), np.count_nonzero(valid >= 0))
    return float(min(1.0, 2 * (rarer + 1) / (len(valid) + 1)))


def _draws(
    groups: Groups | None, mated: BoolArray, repeats: int, seed: int
) -> Iterator[TimesArray]:
    """How often each identity was drawn; without groups each comparison, within its kind."""
    for number in range(repeats):
        rng = np.random.Generator(np.random.PCG64([seed, number]))
        if groups is not None:
            yield _count_drawn(rng, groups.count)
            continue
        times = np.empty(len(mated), dtype=np.int32)
        for kind in (mated, ~mated):
            times[kind] = _count_drawn(rng, int(np.count_nonzero(kind)))
        yield times


def _count_drawn(rng: np.random.Generator, count: int) -> TimesArray:
    drawn = rng.integers(0, count, count, dtype=np.int32)
    return np.bincount(drawn, minlength=count).astype(np.int32)


@dataclass(frozen=True)
class _Subset:
    """Comparisons of one kind, and what decides how often each is drawn.

    Attributes:
        position: integers [K]: of the comparisons among all N.
        first: integers [K]: the identity of one sample; without groups, the same as `position`.
        second: integers [K]: the identity of the other sample of non-mated comparisons; else None.
    """

    position: IndexArray
    first: IndexArray
    second: IndexArray | None

    def weights(self, times: TimesArray, part: slice = slice(None)) -> TimesArray:
        """How often the comparisons were drawn: int32 [K], or of a part of them."""
        once = times[self.first[part]]
        return once if self.second is None else once * times[self.second[part]]

    def total(self, times: TimesArray) -> int:
        """The sum of all weights; in chunks, since there may be millions."""
        starts = range(0, len(self.first), _CHUNK)
        return sum(int(self.weights(times, slice(s, s + _CHUNK)).sum()) for s in starts)

    def take(self, order: IndexArray) -> _Subset:
        """The same comparisons in another order."""
        second = None if self.second is None else self.second[order]
        return _Subset(self.position[order], self.first[order], second)


@dataclass(frozen=True)
class _Kinds:
    mated: _Subset
    non_mated: _Subset


def _select(groups: Groups | None, chosen: BoolArray, mated: BoolArray) -> _Subset:
    position = np.flatnonzero(chosen).astype(np.int32)
    if groups is None:
        return _Subset(position, position, None)
    are_mated = len(position) > 0 and bool(mated[position[0]])
    second = None if are_mated else groups.of_b[position]
    return _Subset(position, groups.of_a[position], second)


class _FixedThreshold:
    """Curves with a fixed threshold: weights in place of copies of comparisons."""

    def __init__(
        self,
        levels: PairLevels,
        scores: ScoreArray,
        kinds: _Kinds,
        fmr: float | None,
        decision_threshold: float | None,
    ) -> None:
        self._level_count = len(levels.value)
        self._mated = kinds.mated
        self._level = levels.level[kinds.mated.position]
        self._mated_scores = scores[kinds.mated.position]
        self._fmr, self._decision_threshold = fmr, decision_threshold
        if fmr is not None:
            non_mated_scores = scores[kinds.non_mated.position]
            descending = np.argsort(non_mated_scores)[::-1]
            self._non_mated = kinds.non_mated.take(descending)
            self._non_mated_scores = non_mated_scores[descending]

    def curve(self, times: TimesArray) -> EdcCurve | None:
        """The curve of one draw; None where it has no comparison of a kind."""
        threshold = self._threshold(times)
        weights = self._mated.weights(times)
        if threshold is None or not weights.any():
            return None
        wrong = ~at_or_above(self._mated_scores, threshold)
        in_level = np.bincount(self._level, weights, self._level_count)
        wrong_in_level = np.bincount(self._level[wrong], weights[wrong], self._level_count)
        return curve_of_levels(in_level, wrong_in_level, threshold)

    def _threshold(self, times: TimesArray) -> float | None:
        """The lowest threshold at which at most the part `fmr` of the drawn ones match."""
        if self._fmr is None:
            return self._decision_threshold
        total = self._non_mated.total(times)
        if not total:
            return None
        allowed = count_allowed_matches(total, self._fmr)
        # Only the highest scores decide: look at a few of them, then at more.
        looked_at = int(4 * self._fmr * len(self._non_mated_scores)) + 1000
        while True:
            matches = np.cumsum(self._non_mated.weights(times, slice(looked_at)), dtype=np.int64)
            refused = int(np.searchsorted(matches, allowed, side="right"))
            if refused < len(matches):
                best_refused = self._non_mated_scores[refused]
                return float(np.nextafter(best_refused, np.inf, dtype=np.float64))
            looked_at *= 4


class _PerDiscard:
    """Curves with a threshold for every step: of really repeated comparisons."""

    def __init__(
        self, levels: PairLevels, scores: ScoreArray, mated: BoolArray, kinds: _Kinds, fmr: float
    ) -> None:
        self._levels, self._scores, self._mated, self._kinds = levels, scores, mated, kinds
        self._fmr = fmr

    def curve(self, times: TimesArray) -> EdcCurve | None:
        """The curve of one draw; None where a step is left without comparisons of a kind."""
        weights = np.zeros(len(self._mated), dtype=np.int32)
        for subset in (self._kinds.mated, self._kinds.non_mated):
            weights[subset.position] = subset.weights(times)
        drawn = np.repeat(np.arange(len(weights), dtype=np.int32), weights)
        levels = PairLevels(self._levels.level[drawn], self._levels.value)
        try:
            return per_discard_curve(levels, self._scores[drawn], self._mated[drawn], self._fmr)
        except InvalidArgumentError:
            return None


def _check_groups(groups: Groups, mated: BoolArray) -> None:
    same = groups.of_a == groups.of_b
    if (same != mated).any():
        wrong = np.flatnonzero(same != mated)
        kind = "mated" if mated[wrong[0]] else "non-mated"
        raise InvalidArgumentError(
            "evaluate: expected mated comparisons of one identity and non-mated ones of two, got"
            f" {len(wrong)} of {len(mated)} that are not, the first a {kind} one of the identities"
            f" {groups.of_a[wrong[0]]} and {groups.of_b[wrong[0]]}; correct the labels"
        )
