import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.ranking import pick_ranked, pick_ranked_by_identity

NAN = float("nan")


def test_by_hand():
    quality = np.array([5.0, 1, 4, 2, 3])
    assert pick_ranked(quality, 2).tolist() == [1, 0]
    assert pick_ranked(quality, 3).tolist() == [1, 4, 0]
    assert pick_ranked(quality, 5).tolist() == [1, 3, 4, 2, 0]
    assert pick_ranked(quality, 9).tolist() == [1, 3, 4, 2, 0]


def test_equal_qualities_keep_the_order_of_the_samples():
    assert pick_ranked(np.zeros(5), 3).tolist() == [0, 2, 4]


def test_samples_without_a_quality_are_not_picked():
    assert pick_ranked(np.array([NAN, 3, -np.inf, 1]), 4).tolist() == [3, 1]
    assert pick_ranked(np.array([NAN]), 2).tolist() == []


@given(st.lists(st.integers(-9, 9), max_size=60), st.integers(2, 20))
def test_ranks_are_evenly_spaced_between_the_extremes(values, count):
    quality = np.array(values, float)
    picked = pick_ranked(quality, count).tolist()
    assert len(picked) == len(set(picked)) == min(count, len(values))
    ranked = sorted(range(len(values)), key=lambda i: (values[i], i))
    ranks = [ranked.index(i) for i in picked]
    assert ranks == sorted(ranks)
    if len(ranks) > 1:
        assert (ranks[0], ranks[-1]) == (0, len(values) - 1)
        steps = np.diff(ranks)
        assert steps.max() - steps.min() <= 1


def test_by_identity():
    quality = np.array([5.0, 1, 4, 2, 3, NAN, 7])
    identity = np.array([8, 3, 8, 3, 8, 5, 4])
    strips = pick_ranked_by_identity(quality, identity, 2)
    assert list(strips) == [3, 4, 8]
    assert {person: strip.tolist() for person, strip in strips.items()} == {
        3: [1, 3],
        4: [6],
        8: [4, 0],
    }


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=40))
def test_by_identity_is_the_strip_of_each_person_alone(pairs):
    quality, identity = np.array(pairs, float).reshape(-1, 2).T
    identity = identity.astype(np.int64)
    strips = pick_ranked_by_identity(quality, identity, 3)
    assert sorted(strips) == sorted(set(identity.tolist()))
    for person, strip in strips.items():
        own = np.flatnonzero(identity == person)
        assert strip.tolist() == own[pick_ranked(quality[own], 3)].tolist()


@pytest.mark.parametrize(
    ("quality", "count", "message"),
    [
        (np.ones((2, 2)), 2, r"shape \[S\] without \+inf, got shape \[2, 2\]"),
        (np.array([1, np.inf]), 2, r"1 of \+inf"),
        (np.ones(3), 1, "count to be 2 or more, got 1"),
    ],
)
def test_refuses_wrong_input(quality, count, message):
    with pytest.raises(InvalidArgumentError, match=message):
        pick_ranked(quality, count)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ([0, 1], r"identity of shape \[3\]"),
        ([0, 1, -1], "positions from 0"),
        ([0.0, 1, 1], "integ"),
    ],
)
def test_refuses_wrong_identities(identity, message):
    with pytest.raises(InvalidArgumentError, match=message):
        pick_ranked_by_identity(np.ones(3), np.array(identity), 2)
