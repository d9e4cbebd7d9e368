import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.distributions import describe_distribution, shared_edges

NAN = math.nan
SCORES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=80)


def describe(scores, **options):
    return describe_distribution("LFW", "magface", scores, higher_is_better=True, **options)


def test_by_hand():
    record = describe([0, 1, NAN, 6, 5.5, 2], edges=np.array([0.0, 1, 5, 6]))
    assert record.counts == (1, 2, 2)
    assert record.edges == (0, 1, 5, 6)
    assert record.missing == 1
    assert (record.data_set, record.method, record.higher_is_better) == ("LFW", "magface", True)


@given(SCORES, st.integers(0, 3))
def test_every_score_is_in_its_bin(scores, missing):
    record = describe([*scores, *[NAN] * missing])
    edges = record.edges
    assert list(edges) == sorted(set(edges))
    assert record.missing == missing
    bins = [min(np.searchsorted(edges, s, side="right") - 1, len(edges) - 2) for s in scores]
    assert record.counts == tuple(bins.count(i) for i in range(len(edges) - 1))


@given(SCORES, SCORES)
def test_shared_edges_hold_the_scores_of_all_data_sets(first, second):
    edges = shared_edges([[*first, NAN], second])
    assert sum(describe(first, edges=edges).counts) == len(first)
    assert sum(describe(second, edges=edges).counts) == len(second)


@pytest.mark.parametrize(("count", "bins"), [(2, 6), (1000, 20), (100_000, 60)])
def test_more_scores_get_more_bins(count, bins):
    assert len(describe(np.linspace(0, 1, count)).counts) == bins


@pytest.mark.parametrize("score", [0, 3.5, -1e20, 1e-300])
def test_equal_scores_get_a_range(score):
    record = describe([score, score, score])
    assert sum(record.counts) == 3
    assert record.edges[0] < score < record.edges[-1]


def test_scores_too_near_to_each_other_for_bins_get_one():
    low, high = 1.0, np.nextafter(1.0, 2)
    assert describe([low, high, high]).counts == (3,)


@pytest.mark.parametrize(
    ("scores", "edges", "message"),
    [
        ([], None, "none among 0 samples"),
        ([NAN, NAN], None, "none among 2 samples"),
        ([1, math.inf], None, "infinite"),
        ([[1, 2]], None, r"shape \[S\], got \[1, 2\]"),
        ([1, 7], [0.0, 2], "within the edges 0 to 2, got 1.0 to 7.0"),
        ([1], [0.0, 0, 2], "ascending"),
        ([1], [0.0], "ascending"),
        ([1], [0.0, NAN], "ascending"),
    ],
)
def test_refuses_wrong_input(scores, edges, message):
    with pytest.raises(InvalidArgumentError, match=message):
        describe(scores, edges=None if edges is None else np.array(edges))


def test_refuses_no_data_sets():
    with pytest.raises(InvalidArgumentError, match="one or more data sets"):
        shared_edges([])
