import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.class_shards import class_range, positions_in, sample_classes


@given(st.integers(1, 40), st.integers(0, 200))
def test_ranges_cover_all_classes_evenly(world_size, more):
    classes = max(world_size, 2) + more
    ranges = [class_range(classes, world_size, rank) for rank in range(world_size)]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == classes
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ranges))
    sizes = [last - first for first, last in ranges]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("classes", "world_size"), [(3, 4), (1, 1), (0, 1)])
def test_refuses_fewer_classes_than_processes(classes, world_size):
    with pytest.raises(InvalidArgumentError, match=f"for {world_size} processes, got {classes}"):
        class_range(classes, world_size, 0)


@given(st.integers(1, 7), st.integers(0, 2**20), st.floats(0.01, 0.9))
def test_the_sample_is_the_same_for_any_number_of_processes(world_size, step, rate):
    classes, labels = 3000, torch.tensor([0, 17, 2999, 17, 1024])
    whole = sample_classes(labels, 0, classes, rate=rate, seed=5, step=step)
    parts = []
    for rank in range(world_size):
        first, last = class_range(classes, world_size, rank)
        parts.append(sample_classes(labels, first, last, rate=rate, seed=5, step=step) + first)
    assert torch.equal(torch.cat(parts), whole)
    assert torch.isin(labels, whole).all()
    assert abs(len(whole) - rate * classes) < 6 * (classes * rate * (1 - rate)) ** 0.5 + 5


def test_other_steps_and_seeds_draw_other_classes():
    draws = {
        (seed, step): set(
            sample_classes(torch.tensor([1]), 0, 4000, rate=0.5, seed=seed, step=step).tolist()
        )
        for seed in (0, 1)
        for step in (0, 1)
    }
    first = draws.pop((0, 0))
    for other in draws.values():
        assert 800 < len(first & other) < 1200


@given(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(-1, 31)))
def test_positions(rows, wanted):
    rows = sorted(rows)
    found = positions_in(
        torch.tensor(rows, dtype=torch.int64), torch.tensor(wanted, dtype=torch.int64)
    )
    assert found.tolist() == [rows.index(w) if w in rows else -1 for w in wanted]
