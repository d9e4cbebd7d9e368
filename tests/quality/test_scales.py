import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.quality.scales import Percentiles, Sigmoid, fit_percentiles, fit_sigmoid

LARGE = st.floats(-1e300, 1e300)
REFERENCES = st.lists(LARGE | st.sampled_from([0.0, 1.0, 2.0]), min_size=20, max_size=150)


def test_percentiles_of_numbers_in_a_row():
    scale = fit_percentiles(np.arange(101.0))
    assert scale.raw_scores == pytest.approx(list(range(101)))
    for raw, position in [(25, 25), (25.5, 25.5), (-5, 0), (0, 0), (100, 100), (1e300, 100)]:
        assert scale.position(raw) == pytest.approx(position)


def test_percentiles_follow_scipys_percentile_rank():
    """Up to the interpolation between knots, which is below one percentile."""
    raw = np.random.default_rng(0).lognormal(size=5000)
    scale = fit_percentiles(raw)
    for value in np.random.default_rng(1).lognormal(size=50):
        rank = stats.percentileofscore(raw, value, kind="mean")
        assert scale.position(float(value)) == pytest.approx(rank, abs=0.5)


def test_a_shared_score_stands_in_the_middle_of_those_who_share_it():
    assert fit_percentiles(np.ones(20)).position(1.0) == 50
    raw = np.concatenate([np.linspace(0, 1, 500), np.full(500, 2.0)])
    rank = stats.percentileofscore(raw, 2.0, kind="mean")
    assert fit_percentiles(raw).position(2.0) == pytest.approx(rank, abs=0.6)


def test_the_sigmoid_fits_a_logistic_distribution():
    raw = stats.logistic(loc=3.0, scale=0.5).ppf((np.arange(1000) + 0.5) / 1000)
    scale = fit_sigmoid(raw)
    assert scale.x0 == pytest.approx(3.0)
    assert scale.w == pytest.approx(0.5, rel=2e-3)
    for position in (1, 25, 50, 75, 99):
        value = float(stats.logistic(loc=3.0, scale=0.5).ppf(position / 100))
        assert scale.position(value) == pytest.approx(position, abs=0.1)


def test_the_quartiles_of_a_symmetric_reference_set_get_25_and_75():
    raw = np.linspace(-8, 4, 41)
    scale = fit_sigmoid(raw)
    positions = [scale.position(float(v)) for v in np.percentile(raw, (25, 50, 75))]
    assert positions == pytest.approx([25, 50, 75])


def test_the_sigmoid_tells_faces_apart_outside_the_reference_set():
    scale = fit_sigmoid(np.linspace(0, 1, 50))
    assert 0 < scale.position(-1.0) < scale.position(-0.5) < scale.position(0.0)


@given(REFERENCES, st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_positions_are_bounded_and_monotone(raw_scores, values):
    """To the last bit, for every finite number and its neighbours."""
    raw = np.asarray(raw_scores)
    scales = [fit_percentiles(raw)]
    if np.percentile(raw, 25) < np.percentile(raw, 75):
        scales.append(fit_sigmoid(raw))
    extremes = [*values, *raw_scores, -1.7e308, -1e300, 1e300, 1.7e308]
    near = [math.nextafter(v, to) for v in extremes for to in (-math.inf, math.inf)]
    ascending = sorted(v for v in extremes + near if math.isfinite(v))
    for scale in scales:
        positions = [scale.position(v) for v in ascending]
        assert positions == sorted(positions)
        assert positions[0] >= 0
        assert positions[-1] <= 100


@pytest.mark.parametrize("fit", [fit_percentiles, fit_sigmoid])
@pytest.mark.parametrize(
    ("raw_scores", "finite"),
    [(range(19), 19), ([], 0), ([*range(30), float("nan")], 30), ([*range(30), 1e301], 30)],
)
def test_scores_that_nothing_can_be_fitted_to(fit, raw_scores, finite):
    message = f"at least 20 faces, .* got {len(raw_scores)} of which {finite} have one"
    with pytest.raises(InvalidArgumentError, match=message):
        fit(np.asarray(raw_scores, dtype=np.float64))


def test_a_sigmoid_needs_quartiles_that_differ():
    raw = np.r_[np.zeros(30), 1.0]
    assert fit_percentiles(raw).position(1.0) > 90
    with pytest.raises(InvalidArgumentError, match="use the kind percentile"):
        fit_sigmoid(raw)


@pytest.mark.parametrize(
    "knots", [range(100), [*range(100), 98], [*range(100), math.nan], [*range(100), math.inf]]
)
def test_knots_that_are_no_percentiles(knots):
    with pytest.raises(InvalidArgumentError, match="101 ascending numbers"):
        Percentiles(tuple(knots))


@pytest.mark.parametrize(
    ("x0", "w"), [(0, 0), (0, -1), (math.nan, 1), (math.inf, 1), (0, math.inf)]
)
def test_parameters_that_are_no_sigmoid(x0, w):
    with pytest.raises(InvalidArgumentError, match="w above 0"):
        Sigmoid(x0, w)
