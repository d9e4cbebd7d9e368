import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.label_change import describe_label_change

LABELS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40)


def test_by_hand():
    change = describe_label_change([0.1, 0.2, 0.3, 0.4], [0.1, 0.3, 0.2, 0.4])
    assert change.rank_shift.tolist() == [0, 1, -1, 0]
    assert change.moved_fraction == 0.5
    assert change.spearman == pytest.approx(0.8)
    assert change.drawn.tolist() == [0, 1, 2, 3]
    assert change.drawn_optimised.tolist() == [0.1, 0.3, 0.2, 0.4]


def test_another_scale_moves_nothing():
    labels = np.random.default_rng(0).random(50)
    change = describe_label_change(labels, np.exp(7 * labels))
    assert change.moved_fraction == 0
    assert change.spearman == pytest.approx(1)


@given(LABELS, st.randoms(use_true_random=False))
def test_shifts_add_up_to_nothing_and_follow_the_samples(labels, random):
    before, after = np.array(labels, float).T
    change = describe_label_change(before, after)
    assert change.rank_shift.sum() == 0
    assert describe_label_change(after, before).rank_shift.tolist() == (-change.rank_shift).tolist()
    order = list(range(len(labels)))
    random.shuffle(order)
    shuffled = describe_label_change(before[order], after[order])
    assert shuffled.rank_shift.tolist() == change.rank_shift[order].tolist()
    assert shuffled.moved_fraction == change.moved_fraction


def test_equal_labels_order_nothing():
    change = describe_label_change([1, 1, 1], [1, 2, 3])
    assert change.spearman is None
    assert change.rank_shift.tolist() == [-1, 0, 1]


def test_the_scatter_is_thinned_by_the_seed_alone():
    before, after = np.random.default_rng(0).random((2, 1000))
    first = describe_label_change(before, after, points=100, seed=3)
    assert first.drawn.tolist() == sorted(set(first.drawn.tolist()))
    assert len(first.drawn) == 100
    assert (first.drawn_original == before[first.drawn]).all()
    assert (first.drawn_optimised == after[first.drawn]).all()
    again = describe_label_change(before, after, points=100, seed=3)
    assert again.drawn.tolist() == first.drawn.tolist()
    other = describe_label_change(before, after, points=100, seed=4)
    assert other.drawn.tolist() != first.drawn.tolist()
    assert len(first.rank_shift) == 1000


@pytest.mark.parametrize(
    ("before", "after", "options", "message"),
    [
        ([1, 2], [1], {}, r"got \[2\] and \[1\]"),
        ([], [], {}, "S > 0"),
        ([[1, 2]], [[1, 2]], {}, r"same shape \[S\]"),
        ([1, np.nan], [1, 2], {}, "got nan and 2.0 for sample 1"),
        ([1, 2], [np.inf, 2], {}, "got 1.0 and inf for sample 0"),
        ([1], [1], {"points": 0}, "points of 1 or more"),
        ([1], [1], {"seed": -1}, "seed of 0 or more"),
    ],
)
def test_refuses_wrong_input(before, after, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        describe_label_change(before, after, **options)
