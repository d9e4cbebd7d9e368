from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.noise import philox_4x32
from fiqa_fast.training.data import order as order_module
from fiqa_fast.training.data.order import SampleOrder, permute


@st.composite
def orders(draw):
    world_size = draw(st.integers(1, 4))
    global_batch = world_size * draw(st.integers(1, 5))
    count = draw(st.integers(1, 60))
    excluded = draw(st.frozensets(st.integers(0, count - 1), max_size=count - 1))
    last_batch = draw(st.sampled_from(["drop", "repeat"]))
    if count - len(excluded) < global_batch:
        last_batch = "repeat"
    seed = draw(st.integers(0, 2**63 - 1))
    return SampleOrder(count, global_batch, seed, 0, world_size, last_batch, excluded)


def ranks(order):
    return [replace(order, rank=rank) for rank in range(order.world_size)]


@given(order=orders(), epoch=st.integers(0, 2**32 - 1))
def test_the_ranks_together_hold_the_batches_of_one_process(order, epoch):
    alone = replace(order, world_size=1)
    together = zip(*(rank.batches(epoch) for rank in ranks(order)), strict=True)
    expected = list(alone.batches(epoch))
    assert len(expected) == order.steps_per_epoch
    for parts, whole in zip(together, expected, strict=True):
        assert len({len(part) for part in parts}) == 1
        assert np.concatenate(parts).tolist() == whole.tolist()


@given(order=orders(), epoch=st.integers(0, 9))
def test_an_epoch_has_every_sample_once(order, epoch):
    shown = np.concatenate(list(replace(order, world_size=1).batches(epoch)))
    used = sorted(set(range(order.count)) - order.excluded)
    if order.last_batch == "repeat":
        assert sorted(shown[: len(used)].tolist()) == used
        assert shown.tolist() == np.resize(shown[: len(used)], len(shown)).tolist()
        assert 0 <= len(shown) - len(used) < order.global_batch
    else:
        assert len(np.unique(shown)) == len(shown)
        assert set(shown.tolist()) <= set(used)
        assert 0 <= len(used) - len(shown) < order.global_batch


@given(order=orders(), data=st.data())
def test_a_resumed_epoch_has_exactly_the_batches_that_are_left(order, data):
    step = data.draw(st.integers(0, order.steps_per_epoch))
    for rank in ranks(order):
        whole = [batch.tolist() for batch in rank.batches(3)]
        assert [batch.tolist() for batch in rank.batches(3, step)] == whole[step:]


@given(order=orders())
def test_excluded_samples_leave_the_order_of_the_others(order):
    everything = replace(order, excluded=frozenset(), global_batch=1, world_size=1)
    some = replace(order, global_batch=1, world_size=1)
    expected = [int(p[0]) for p in everything.batches(1) if int(p[0]) not in order.excluded]
    assert [int(p[0]) for p in some.batches(1)] == expected


@given(count=st.integers(1, 300), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 2**32 - 1))
def test_the_permutation_sorts_by_philox(count, seed, epoch):
    zeros = np.zeros(count, np.uint64)
    positions = np.arange(count, dtype=np.uint64)
    counter = (positions // np.uint64(2), zeros + np.uint64(16), zeros + np.uint64(epoch), zeros)
    words = np.stack(philox_4x32(counter, (seed % 2**32, seed // 2**32)), -1).tolist()
    numbers = [w[2 * (i % 2)] * 2**32 + w[2 * (i % 2) + 1] for i, w in enumerate(words)]
    assert permute(count, seed, epoch).tolist() == sorted(range(count), key=numbers.__getitem__)


def test_the_permutation_is_this_one():
    # A checkpoint of today must go on tomorrow.
    assert permute(8, 1, 0).tolist() == [0, 4, 5, 6, 3, 7, 1, 2]


def test_drawing_in_pieces_changes_nothing(monkeypatch):
    whole = permute(1001, 5, 2)
    monkeypatch.setattr(order_module, "_DRAWN_AT_ONCE", 64)
    assert np.array_equal(permute(1001, 5, 2), whole)


def test_epochs_and_seeds_differ_and_mix_well():
    orders = [permute(20000, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0), (2**40, 0))]
    for i, a in enumerate(orders):
        for b in [np.arange(20000), *orders[:i]]:
            assert abs(np.corrcoef(a, b)[0, 1]) < 0.03


def test_the_digest_tells_orders_apart_but_not_the_number_of_processes():
    order = SampleOrder(100, 8, seed=1)
    assert replace(order, world_size=4, rank=3).digest == order.digest
    others = [
        replace(order, seed=2),
        replace(order, count=101),
        replace(order, global_batch=4),
        replace(order, last_batch="repeat"),
        replace(order, excluded=frozenset({5})),
    ]
    assert len({other.digest for other in [order, *others]}) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"count": 0}, "count from 1 to 2147483647, got 0"),
        ({"seed": -1}, "seed from 0 to"),
        ({"world_size": 3}, "a multiple of the 3 processes, got 8; the nearest is 6"),
        ({"world_size": 9}, "world_size from 1 to 8, got 9"),
        ({"world_size": 2, "rank": 2}, "rank from 0 to 1, got 2"),
        ({"last_batch": "pad"}, "drop or repeat, got 'pad'"),
        ({"excluded": frozenset({100})}, "excluded positions from 0 to 99, got 100"),
        ({"count": 7}, "one step or more, got 7 for batches of 8"),
        ({"excluded": frozenset(range(100)), "last_batch": "repeat"}, "one step or more, got 0"),
    ],
)
def test_wrong_orders(options, said):
    with pytest.raises(InvalidArgumentError, match=said):
        SampleOrder(**{"count": 100, "global_batch": 8, **options})


def test_wrong_epochs_and_steps():
    order = SampleOrder(16, 8)
    with pytest.raises(InvalidArgumentError, match="epoch from 0"):
        order.batches(-1)
    with pytest.raises(InvalidArgumentError, match="first_step from 0 to 2, got 3"):
        order.batches(0, 3)
