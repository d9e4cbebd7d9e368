import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.draw import draw_comparisons


@given(
    identity=st.lists(st.integers(0, 4), min_size=2, max_size=25),
    limit=st.integers(1, 12),
    non_mated=st.integers(0, 200),
    seed=st.integers(0, 100),
)
def test_what_is_drawn(identity, limit, non_mated, seed):
    identity = np.array(identity, np.int32)
    a, b, mated = draw_comparisons(
        identity, mated_per_identity=limit, non_mated=non_mated, seed=seed
    )
    assert (a != b).all()
    assert ((identity[a] == identity[b]) == mated).all()
    pairs = {frozenset(pair) for pair in zip(a.tolist(), b.tolist(), strict=True)}
    assert len(pairs) == len(a)
    sizes = np.bincount(identity)
    of_identity = np.bincount(identity[a[mated]], minlength=len(sizes))
    assert of_identity.tolist() == np.minimum(sizes * (sizes - 1) // 2, limit).tolist()
    all_pairs = len(identity) * (len(identity) - 1) // 2
    there_are = all_pairs - int((sizes * (sizes - 1) // 2).sum())
    assert np.count_nonzero(~mated) == min(non_mated, there_are)


def test_the_seed_decides():
    identity = np.repeat(np.arange(50), 6).astype(np.int32)
    options = {"mated_per_identity": 4, "non_mated": 500}
    first, again, other = (draw_comparisons(identity, **options, seed=s) for s in (1, 1, 2))
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_every_pair_is_as_likely_as_any_other():
    identity = np.array([0, 0, 0, 0, 1, 1], np.int32)
    mated_counts, other_counts = np.zeros((6, 6)), np.zeros((6, 6))
    for seed in range(3000):
        a, b, mated = draw_comparisons(identity, mated_per_identity=2, non_mated=3, seed=seed)
        for counts, chosen in ((mated_counts, mated), (other_counts, ~mated)):
            np.add.at(counts, (a[chosen], b[chosen]), 1)
    of_first = mated_counts[np.triu_indices(4, 1)]
    assert abs(of_first - 1000).max() < 5 * np.sqrt(3000 * 2 / 9)
    assert mated_counts[4, 5] == 3000
    between = other_counts[:4, 4:]
    assert between.sum() == other_counts.sum()
    assert abs(between - 3000 * 3 / 8).max() < 5 * np.sqrt(3000 * 15 / 64)


def test_pairs_of_millions_of_images_are_never_made():
    identity = np.random.default_rng(0).integers(0, 9000, 300_000).astype(np.int32)
    a, _, mated = draw_comparisons(identity, mated_per_identity=10, non_mated=100_000)
    assert np.count_nonzero(mated) == 90_000
    assert len(a) == 190_000


@pytest.mark.parametrize("wrong", [{"mated_per_identity": 0}, {"non_mated": -1}, {"seed": -1}])
def test_wrong_numbers(wrong):
    with pytest.raises(InvalidArgumentError, match="expected mated_per_identity >= 1"):
        draw_comparisons(np.zeros(3, np.int32), **wrong)
