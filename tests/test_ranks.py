import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, rankdata, spearmanr

from fiqa_fast.ranks import correlate_pair_order, correlate_ranks, count_inversions, mean_ranks

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=40)


@given(PAIRS)
def test_same_as_scipy_with_ties(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, dtype=np.float64).T
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert correlate_ranks(a, b) is None
    else:
        assert correlate_ranks(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


@given(PAIRS)
def test_pair_order_same_as_scipy_with_ties(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, dtype=np.float64).T
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert correlate_pair_order(a, b) is None
    else:
        tau = kendalltau(a, b).statistic
        assert correlate_pair_order(a, b) == pytest.approx(tau, abs=1e-12)
        assert correlate_pair_order(b, a) == pytest.approx(tau, abs=1e-12)


@pytest.mark.parametrize("count", [1000, 4097])
def test_pair_order_same_as_scipy_without_ties(count: int) -> None:
    a, b = np.random.default_rng(count).random((2, count))
    mixed = a + 0.3 * b
    assert correlate_pair_order(a, mixed) == pytest.approx(kendalltau(a, mixed).statistic)
    assert correlate_pair_order(a, -3 * a) == -1
    assert correlate_pair_order(a, np.exp(a)) == 1


def test_pair_order_by_hand() -> None:
    # Of six pairs one is tied on each side, four are alike and none is not.
    tau = correlate_pair_order(np.array([1.0, 1, 2, 3]), np.array([1.0, 2, 3, 3]))
    assert tau == pytest.approx(4 / 5)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_faces_have_no_order(count: int) -> None:
    assert correlate_pair_order(np.ones(count), np.ones(count)) is None
    assert correlate_ranks(np.ones(count), np.ones(count)) is None


@given(st.lists(st.integers(0, 2**40), max_size=40) | st.lists(st.integers(0, 5), max_size=40))
def test_inversions_of_a_loop(values: list[int]) -> None:
    expected = sum(a > b for i, a in enumerate(values) for b in values[i + 1 :])
    assert count_inversions(np.array(values, dtype=np.int64)) == expected


@given(st.lists(st.integers(-5, 5), max_size=40))
def test_mean_ranks_same_as_scipy(values: list[int]) -> None:
    ranks = mean_ranks(np.array(values, dtype=np.float64))
    assert ranks.tolist() == rankdata(values, method="average").tolist()
