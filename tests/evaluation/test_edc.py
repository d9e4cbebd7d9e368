from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.areas import area_under_best, area_under_edc
from fiqa_fast.evaluation.edc import (
    EdcCurve,
    fixed_threshold_curve,
    per_discard_curve,
    threshold_at_fmr,
)
from fiqa_fast.evaluation.pair_quality import PairLevels, levels_of, orient_scores, pair_levels

GOLDEN = Path(__file__).parents[1] / "golden" / "edc"


class Golden:
    """Pairs and the numbers of CR-FIQA's ERC and of the reference EDC code."""

    def __init__(self, name: str) -> None:
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            self.scores = arrays["similarity"].astype(np.float64)
            self.mated = arrays["mated"].astype(bool)
            self.sample_a, self.sample_b = arrays["pair_index"].T
            self.quality = arrays["sample_quality"]
            self.default_order = arrays["discard_order_default"].astype(np.int64)
        self.expected: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())

    @property
    def levels(self) -> PairLevels:
        return pair_levels(self.quality, self.sample_a, self.sample_b)


@pytest.fixture(scope="module", params=["small", "large"])
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


@pytest.mark.parametrize("fmr", ["1e-2", "1e-3", "1e-4"])
@pytest.mark.parametrize("order", ["stable_argsort", "as_coded_default_argsort"])
def test_per_discard_equals_cr_fiqas_numbers(golden: Golden, order: str, fmr: str) -> None:
    expected = golden.expected[f"erc_{order}"]
    levels = golden.levels
    if order != "stable_argsort":  # the order in which their sort left the ties
        place = np.empty(len(golden.mated))
        place[golden.default_order] = np.arange(len(place))
        levels = levels_of(place)

    curve = per_discard_curve(levels, golden.scores, golden.mated, float(fmr))

    key = f"fmr_{fmr}"
    np.testing.assert_allclose(curve.discard_fraction, expected["discard_rates"], rtol=0, atol=0)
    np.testing.assert_allclose(curve.error_rate, expected["fnmr"][key], rtol=0, atol=1e-12)
    distances = np.arccos(curve.decision_threshold) / np.pi
    np.testing.assert_allclose(distances, expected["distance_threshold"][key], rtol=0, atol=1e-12)
    auc = area_under_edc(curve.discard_fraction, curve.error_rate, 0.95, "trapezoid")
    assert auc == pytest.approx(expected["auc"][key], abs=1e-12)


@pytest.mark.parametrize(
    "case", ["edc_fnmr_start_0.05", "edc_fnmr_threshold_0.4", "edc_fmr_threshold_0.2"]
)
def test_fixed_equals_the_reference_codes_numbers(golden: Golden, case: str) -> None:
    expected = golden.expected[case]
    threshold = expected["similarity_threshold"]
    if "start" in case:
        assert np.quantile(golden.scores[golden.mated], 0.05) == threshold

    curve = fixed_threshold_curve(
        golden.levels, golden.scores, golden.mated, threshold, expected["error_type"].lower()
    )

    kept = expected["kept_index"]
    assert len(curve.error_rate) == expected["curve_points"]
    np.testing.assert_allclose(
        curve.discard_fraction[kept], expected["discard_fraction"], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        curve.error_rate[kept], expected["error_fraction"], rtol=0, atol=1e-12
    )
    for limit, area in expected["pauc"].items():
        found = area_under_edc(curve.discard_fraction, curve.error_rate, float(limit), "step")
        assert found == pytest.approx(area, abs=1e-12)
    for limit, area in expected["area_under_theoretical_best"].items():
        found = area_under_best(curve.error_rate[0], float(limit))
        assert found == pytest.approx(area, abs=1e-12)


# Both policies against loops that follow the words of the papers.


def fixed_by_loop(
    quality: list[float], scores: list[float], threshold: float
) -> list[tuple[float, float]]:
    points = []
    for worst in sorted(set(quality)):
        kept = [s for q, s in zip(quality, scores, strict=True) if q >= worst]
        wrong = sum(s < threshold for s in kept)
        points.append((1 - len(kept) / len(quality), wrong / len(kept)))
    return [*points, (1.0, 0.0)]


def per_discard_by_loop(
    quality: np.ndarray, scores: np.ndarray, mated: np.ndarray, fmr: float
) -> list[float]:
    order = np.argsort(quality, kind="stable")
    rates = []
    for number in range(20):
        kept = order[int(0.05 * number * len(order)) :]
        genuine, impostors = scores[kept][mated[kept]], scores[kept][~mated[kept]]
        candidates = np.unique(scores[kept])  # ascending scores are descending distances
        rate = np.asarray([(impostors >= t).mean() for t in candidates])
        threshold = candidates[int(np.argmin(np.abs(rate - fmr)))]
        rates.append(float((genuine <= threshold).mean()))
    return rates


def pairs(count: int, seed: int, levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair qualities with ties, scores with ties, and labels."""
    rng = np.random.default_rng(seed)
    mated = np.arange(count) % 2 == 0
    scores = np.round(rng.normal(0.5 * mated, 0.25), 2)
    return rng.integers(0, levels, count) / levels, scores, mated


@given(seed=st.integers(0, 10_000), levels=st.sampled_from([1, 2, 7, 1000]))
@settings(max_examples=40, deadline=None)
def test_fixed_equals_a_loop(seed: int, levels: int) -> None:
    quality, scores, mated = pairs(60, seed, levels)

    curve = fixed_threshold_curve(levels_of(quality), scores, mated, 0.3)

    expected = fixed_by_loop(quality[mated].tolist(), scores[mated].tolist(), 0.3)
    found = list(zip(curve.discard_fraction, curve.error_rate, strict=True))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@given(
    seed=st.integers(0, 10_000),
    levels=st.sampled_from([1, 2, 7, 1000]),
    fmr=st.sampled_from([0.001, 0.01, 0.1, 0.25, 0.5, 0.99]),
)
@settings(max_examples=60, deadline=None)
def test_per_discard_equals_a_loop(seed: int, levels: int, fmr: float) -> None:
    quality, scores, mated = pairs(200, seed, levels)
    try:
        found = per_discard_curve(levels_of(quality), scores, mated, fmr).error_rate
    except InvalidArgumentError:
        return  # a step without one kind: has a test of its own

    np.testing.assert_allclose(found, per_discard_by_loop(quality, scores, mated, fmr), atol=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_pairs_does_not_matter(seed: int) -> None:
    quality, scores, mated = pairs(100, seed, 5)
    shuffled = np.random.default_rng(seed).permutation(100)

    curve = fixed_threshold_curve(levels_of(quality), scores, mated, 0.3)
    again = fixed_threshold_curve(
        levels_of(quality[shuffled]), scores[shuffled], mated[shuffled], 0.3
    )

    assert_equal(curve, again)


def test_the_order_does_not_matter_to_per_discard_without_ties() -> None:
    rng = np.random.default_rng(0)
    _, scores, mated = pairs(400, 0, 5)
    quality, shuffled = rng.permutation(400) / 400, rng.permutation(400)

    curve = per_discard_curve(levels_of(quality), scores, mated, 0.01)
    again = per_discard_curve(levels_of(quality[shuffled]), scores[shuffled], mated[shuffled], 0.01)

    assert_equal(curve, again)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_duplicated_pairs_change_nothing(seed: int) -> None:
    quality, scores, mated = pairs(100, seed, 5)

    once = fixed_threshold_curve(levels_of(quality), scores, mated, 0.3)
    twice = fixed_threshold_curve(
        levels_of(np.tile(quality, 2)), np.tile(scores, 2), np.tile(mated, 2), 0.3
    )

    np.testing.assert_allclose(twice.discard_fraction, once.discard_fraction)
    np.testing.assert_allclose(twice.error_rate, once.error_rate)


def test_a_constant_quality_discards_nothing_or_all() -> None:
    _, scores, mated = pairs(100, 0, 5)

    curve = fixed_threshold_curve(levels_of(np.ones(100)), scores, mated, 0.3)

    assert curve.discard_fraction.tolist() == [0, 1]
    assert curve.error_rate[0] == (scores[mated] < 0.3).mean()
    assert curve.error_rate[1] == 0


def test_a_perfect_quality_reaches_the_best_area_and_the_inverted_one_rises() -> None:
    scores = np.linspace(-1, 1, 1000)
    mated = np.ones(1000, dtype=bool)
    threshold = -0.6

    perfect = fixed_threshold_curve(levels_of(scores), scores, mated, threshold)
    inverted = fixed_threshold_curve(levels_of(-scores), scores, mated, threshold)

    error = perfect.error_rate[0]
    area = area_under_edc(perfect.discard_fraction, perfect.error_rate, 0.5, "step")
    # Schlett's best curve falls as e - f; what is kept shrinks too, so the real one is above it.
    assert area_under_best(error, 0.5) <= area
    assert area < 0.5 * 0.5 * error
    assert all(b <= a for a, b in pairwise(perfect.error_rate))
    assert all(b >= a for a, b in pairwise(inverted.error_rate[:-1]))


def test_polarity_is_turned_round_before() -> None:
    quality, scores, mated = pairs(100, 1, 50)
    sample_a, sample_b = np.arange(100), np.arange(100)[::-1].copy()

    higher = pair_levels(orient_scores(quality, higher_is_better=True), sample_a, sample_b)
    lower = pair_levels(orient_scores(-quality, higher_is_better=False), sample_a, sample_b)

    assert_equal(
        fixed_threshold_curve(higher, scores, mated, 0.3),
        fixed_threshold_curve(lower, scores, mated, 0.3),
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_of_exact_scores_does_not_matter(dtype: type[np.floating]) -> None:
    quality, scores, mated = pairs(300, 2, 9)
    exact = np.round(scores * 64) / 64

    expected = per_discard_curve(levels_of(quality), exact, mated, 0.05)

    assert_equal(expected, per_discard_curve(levels_of(quality), exact.astype(dtype), mated, 0.05))


def test_comparisons_without_a_quality_are_left_out() -> None:
    quality, scores, mated = pairs(400, 3, 9)
    missing = np.arange(400) % 10 == 3
    with_gaps = np.where(missing, np.nan, quality)

    for policy in (
        lambda lv, s, m: fixed_threshold_curve(lv, s, m, threshold_at_fmr(lv, s, m, 0.05)),
        lambda lv, s, m: per_discard_curve(lv, s, m, 0.05),
    ):
        curve = policy(levels_of(with_gaps), scores, mated)
        expected = policy(levels_of(quality[~missing]), scores[~missing], mated[~missing])
        assert_equal(curve, expected)


def test_a_step_without_mated_comparisons_is_an_error_that_names_the_remedy() -> None:
    quality, scores, mated = pairs(100, 4, 9)

    with pytest.raises(InvalidArgumentError, match=r"discarded; .* use threshold_policy 'fixed'"):
        per_discard_curve(levels_of(np.where(mated, 0, 1) + quality / 9), scores, mated, 0.1)


def test_no_comparison_of_the_kind_is_an_error() -> None:
    quality, scores, _ = pairs(10, 0, 3)

    with pytest.raises(InvalidArgumentError, match="expected mated comparisons with a quality"):
        fixed_threshold_curve(levels_of(quality), scores, np.zeros(10, dtype=bool), 0.3)
    with pytest.raises(InvalidArgumentError, match="expected error to be one of fnmr, fmr"):
        fixed_threshold_curve(levels_of(quality), scores, np.ones(10, dtype=bool), 0.3, "far")


def assert_equal(a: EdcCurve, b: EdcCurve) -> None:
    np.testing.assert_array_equal(a.discard_fraction, b.discard_fraction)
    np.testing.assert_array_equal(a.error_rate, b.error_rate)
    np.testing.assert_array_equal(a.decision_threshold, b.decision_threshold)
    np.testing.assert_array_equal(a.kept, b.kept)
