from __future__ import annotations

import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.areas import area_under_edc
from fiqa_fast.evaluation.bootstrap import (
    AreaRule,
    Groups,
    bootstrap_areas,
    confidence_interval,
    paired_p_value,
)
from fiqa_fast.evaluation.edc import fixed_threshold_curve, per_discard_curve, threshold_at_fmr
from fiqa_fast.evaluation.pair_quality import levels_of

AREAS = [AreaRule("step", 0.2), AreaRule("trapezoid", 0.95)]


class Data:
    """Comparisons of 40 people; scores of pairs of low quality are worse."""

    def __init__(self, count: int = 1500, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.mated = rng.random(count) < 0.5
        of_a = rng.integers(0, 40, count)
        other = (of_a + rng.integers(1, 40, count)) % 40
        self.groups = Groups(of_a, np.where(self.mated, of_a, other), 40)
        self.quality = np.round(rng.random(count), 2)
        self.scores = np.round(rng.normal(self.mated * (0.2 + 0.8 * self.quality), 0.2), 3)
        self.noise = rng.random(count)


@pytest.fixture(scope="module")
def data() -> Data:
    return Data()


@pytest.mark.parametrize("policy", ["fixed", "per_discard"])
@pytest.mark.parametrize("by_identity", [True, False])
def test_weights_equal_really_repeated_comparisons(
    data: Data, policy: str, by_identity: bool
) -> None:
    count = len(data.mated)
    groups = data.groups if by_identity else None
    levels = levels_of(np.where(np.arange(count) % 50 == 7, np.nan, data.quality))

    found = bootstrap_areas(
        [levels], data.scores, data.mated, groups, AREAS,
        fmr=0.01, threshold_policy=policy, repeats=3, seed=5,
    ).areas  # fmt: skip

    for number in range(3):
        rng = np.random.Generator(np.random.PCG64([5, number]))
        if by_identity:
            times = np.bincount(rng.integers(0, 40, 40, dtype=np.int32), minlength=40)
            weights = times[data.groups.of_a].copy()
            weights[~data.mated] *= times[data.groups.of_b][~data.mated]
        else:
            weights = np.zeros(count, dtype=int)
            for kind in (data.mated, ~data.mated):
                n = int(kind.sum())
                weights[kind] = np.bincount(rng.integers(0, n, n, dtype=np.int32), minlength=n)
        rows = np.repeat(np.arange(count), weights)
        drawn = levels_of(np.where(rows % 50 == 7, np.nan, data.quality[rows]))
        scores, mated = data.scores[rows], data.mated[rows]
        if policy == "fixed":
            threshold = threshold_at_fmr(drawn, scores, mated, 0.01)
            curve = fixed_threshold_curve(drawn, scores, mated, threshold)
        else:
            curve = per_discard_curve(drawn, scores, mated, 0.01)
        expected = [
            area_under_edc(curve.discard_fraction, curve.error_rate, a.limit, a.rule) for a in AREAS
        ]
        np.testing.assert_allclose(found[number, 0], expected, rtol=1e-12)


def test_a_seed_gives_the_same_draws_for_any_methods_beside(data: Data) -> None:
    good, noise = levels_of(data.quality), levels_of(data.noise)

    both = draw(data, [good, noise])
    alone = draw(data, [noise])

    assert np.array_equal(both[:, 1], alone[:, 0])
    assert not np.array_equal(both, draw(data, [good, noise], seed=1))


def test_the_interval_holds_the_area_and_a_better_method_is_found(data: Data) -> None:
    good, noise = levels_of(data.quality), levels_of(data.noise)
    areas = draw(data, [good, noise], repeats=60)
    threshold = threshold_at_fmr(good, data.scores, data.mated, 0.01)
    curve = fixed_threshold_curve(good, data.scores, data.mated, threshold)

    interval = confidence_interval(areas[:, 0, 0])

    area = area_under_edc(curve.discard_fraction, curve.error_rate, 0.2, "step")
    assert interval.low < area < interval.high
    assert paired_p_value(areas[:, 0, 0], areas[:, 1, 0]) < 0.05
    assert paired_p_value(areas[:, 0, 0], areas[:, 0, 0]) == 1


def test_a_given_threshold_stays(data: Data) -> None:
    levels = levels_of(data.quality)

    areas = bootstrap_areas(
        [levels], data.scores, data.mated, data.groups, AREAS, decision_threshold=9.0, repeats=3
    ).areas

    # Nothing reaches it: every mated comparison is wrong in every draw.
    np.testing.assert_allclose(areas[:, 0, 0], 0.2)


def test_normalised_areas_do_not_feel_how_hard_the_draw_is(data: Data) -> None:
    draws = bootstrap_areas(
        [levels_of(data.quality), levels_of(np.ones(len(data.quality)))],
        data.scores, data.mated, data.groups, AREAS, fmr=0.01, repeats=40,
    )  # fmt: skip

    random = draws.normalised(1, 0, AREAS[0].limit)
    np.testing.assert_allclose(random, 1)  # nothing is discarded: exactly as at random
    good = draws.normalised(0, 0, AREAS[0].limit)
    assert good.std() / good.mean() < draws.areas[:, 0, 0].std() / draws.areas[:, 0, 0].mean()
    np.testing.assert_allclose(
        good * draws.error_rates_at_0[:, 0] * AREAS[0].limit, draws.areas[:, 0, 0]
    )


def test_draws_without_a_kind_of_comparison_are_nan() -> None:
    mated = np.asarray([True, False, False])
    groups = Groups(np.asarray([0, 0, 1]), np.asarray([0, 1, 2]), 3)

    areas = bootstrap_areas(
        [levels_of([1.0, 2, 3])], np.asarray([0.5, 0.1, 0.2]), mated, groups, AREAS,
        fmr=0.5, repeats=30,
    ).areas  # fmt: skip

    assert np.isnan(areas).any()
    assert not np.isnan(areas).all()
    assert np.isnan(confidence_interval(np.asarray([np.nan])).low)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fmr": 0.1, "repeats": 1}, "2 or more bootstrap repeats, got 1"),
        ({}, "either fmr or decision_threshold, got None and None"),
        ({"fmr": 0.1, "decision_threshold": 0.3}, "either fmr or decision_threshold, got 0.1"),
        ({"decision_threshold": 0.3, "threshold_policy": "per_discard"}, "expected fmr for"),
    ],
)
def test_wrong_arguments(data: Data, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        bootstrap_areas(
            [levels_of(data.quality)], data.scores, data.mated, data.groups, AREAS,
            **arguments,  # type: ignore[arg-type]
        )  # fmt: skip


def test_mixed_up_labels_are_found(data: Data) -> None:
    mated = data.mated.copy()
    mated[7] = not mated[7]

    with pytest.raises(InvalidArgumentError, match=r"got 1 of 1500 .* identities"):
        draw(Data(), [levels_of(data.quality)], mated=mated)


def draw(
    data: Data, methods: list, *, repeats: int = 5, seed: int = 0, mated: np.ndarray | None = None
) -> np.ndarray:
    return bootstrap_areas(
        methods, data.scores, data.mated if mated is None else mated, data.groups, AREAS,
        fmr=0.01, repeats=repeats, seed=seed,
    ).areas  # fmt: skip
