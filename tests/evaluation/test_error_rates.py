from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.edc import fixed_threshold_curve
from fiqa_fast.evaluation.error_rates import (
    equal_error_rate,
    false_match_rate,
    false_non_match_rate,
    split_scores,
    thin_det,
    trace_det,
)
from fiqa_fast.evaluation.pair_quality import levels_of
from fiqa_fast.quality.discard import find_decision_threshold

scores = st.lists(st.integers(-20, 20).map(lambda n: n / 10), min_size=1, max_size=40)


@given(mated=scores, non_mated=scores)
def test_det_has_the_rates_at_every_threshold(mated: list[float], non_mated: list[float]) -> None:
    m, n = np.asarray(mated), np.asarray(non_mated)

    det = trace_det(m, n)

    for threshold, fmr, fnmr in zip(det.decision_threshold, det.fmr, det.fnmr, strict=True):
        assert fmr == false_match_rate(n, threshold)
        assert fnmr == pytest.approx(false_non_match_rate(m, threshold), abs=1e-15)
    assert (det.fmr[0], det.fnmr[0]) == (1, 0)
    assert (det.fmr[-1], det.fnmr[-1]) == (0, 1)
    assert (np.diff(det.fmr) <= 0).all()
    assert (np.diff(det.fnmr) >= 0).all()


@given(mated=scores, non_mated=scores)
def test_eer_is_where_the_rates_differ_least(mated: list[float], non_mated: list[float]) -> None:
    det = trace_det(np.asarray(mated), np.asarray(non_mated))

    eer, threshold = equal_error_rate(det)

    at = det.decision_threshold.tolist().index(threshold)
    assert abs(det.fmr[at] - det.fnmr[at]) == np.abs(det.fmr - det.fnmr).min()
    assert eer == (det.fmr[at] + det.fnmr[at]) / 2


def test_eer_of_separated_scores_is_0_and_of_equal_ones_half() -> None:
    rng = np.random.default_rng(0)
    apart = trace_det(rng.random(100) + 2, rng.random(100))
    same = trace_det(np.arange(1000.0), np.arange(1000.0))

    assert equal_error_rate(apart)[0] == 0
    assert equal_error_rate(same)[0] == pytest.approx(0.5, abs=1e-3)


def test_a_thinned_curve_consists_of_points_of_the_whole_one() -> None:
    rng = np.random.default_rng(1)
    mated, non_mated = rng.normal(1, 0.5, 5000), rng.normal(0, 0.5, 20_000)

    whole = trace_det(mated, non_mated)
    thin = thin_det(whole, 200)

    assert 50 < len(thin.fmr) <= 200
    place = np.searchsorted(whole.decision_threshold, thin.decision_threshold)
    assert np.array_equal(whole.fmr[place], thin.fmr)
    assert np.array_equal(whole.fnmr[place], thin.fnmr)
    assert (thin.fmr > 0).sum() > 1
    assert thin.fmr[thin.fmr > 0].min() == whole.fmr[whole.fmr > 0].min()
    assert (thin.fmr[0], thin.fnmr[-1]) == (1, 1)
    assert thin_det(thin, 200) is thin


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_score_just_below_the_threshold_does_not_match(dtype: type[np.floating]) -> None:
    non_mated = (np.arange(1000) // 7 / 200).astype(dtype)

    threshold = find_decision_threshold(non_mated, 0.01)

    assert threshold > non_mated[non_mated < threshold].max()
    assert false_match_rate(non_mated, threshold) <= 0.01
    curve = fixed_threshold_curve(
        levels_of(np.ones(1000)), non_mated, np.zeros(1000, dtype=bool), threshold, "fmr"
    )
    assert curve.error_rate[0] == false_match_rate(non_mated, threshold)


@pytest.mark.parametrize(
    ("comparison_scores", "mated", "message"),
    [
        ([1.0, 2.0], [True], r"of the same shape \[N\], got \[2\] and \[1\]"),
        ([1.0, np.nan], [True, False], "expected finite comparison scores, got 1 that"),
        ([1.0, np.inf], [True, False], "expected finite comparison scores, got 1 that"),
        ([1.0, 2.0], [True, True], "expected mated and non-mated comparisons, got 2 and 0"),
        ([], [], "expected mated and non-mated comparisons, got 0 and 0"),
    ],
)
def test_what_cannot_be_evaluated(
    comparison_scores: list[float], mated: list[bool], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        split_scores(np.asarray(comparison_scores), np.asarray(mated, dtype=bool))
