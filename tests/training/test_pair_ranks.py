import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiqa_fast import _extension
from fiqa_fast.training.pair_ranks import credited_index_sums, index_sums_reference


@settings(max_examples=40, deadline=None)
@given(
    cosines=st.lists(st.floats(-1, 1, width=32), max_size=200),
    images=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
def test_compiled_equals_reference(cosines, images, seed):
    assert _extension.host is not None
    values = np.array(cosines, np.float32)
    credited = np.random.default_rng(seed).integers(0, images, len(values)).astype(np.uint32)
    np.testing.assert_array_equal(
        credited_index_sums(values, credited, images),
        index_sums_reference(values, credited, images),
    )


@pytest.mark.parametrize("decimals", [1, 3, 9])  # many ties, some, hardly any
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_many_pairs_equal_the_reference(decimals, threads):
    rng = np.random.default_rng(decimals)
    cosines = rng.uniform(-1, 1, 300_000).round(decimals).astype(np.float32)
    credited = rng.integers(0, 5000, len(cosines)).astype(np.uint32)
    np.testing.assert_array_equal(
        credited_index_sums(cosines, credited, 5000, threads=threads),
        index_sums_reference(cosines, credited, 5000),
    )


def test_places_count_from_zero_over_all_pairs():
    cosines = np.array([0.5, -0.5, 0.75, 0.0], np.float32)
    sums, counts = credited_index_sums(cosines, np.array([1, 1, 0, 3], np.uint32), 4)
    assert sums.tolist() == [3, 2, 0, 1]
    assert counts.tolist() == [1, 2, 0, 1]


def test_equal_cosines_keep_their_order_and_zeros_have_no_sign():
    cosines = np.array([0.0, -0.0, 0.0, -0.0, -1e-45], np.float32)
    sums, _ = credited_index_sums(cosines, np.arange(5, dtype=np.uint32), 5)
    assert sums.tolist() == [1, 2, 3, 4, 0]


def test_the_reference_runs_without_compiled_code(monkeypatch):
    monkeypatch.setattr(_extension, "host", None)
    sums, counts = credited_index_sums(
        np.array([0.5, 0.25], np.float32), np.array([0, 1], np.uint32), 2
    )
    assert (sums.tolist(), counts.tolist()) == ([1, 0], [1, 1])


def test_compiled_code_refuses_what_would_leave_memory():
    with pytest.raises(ValueError, match="credited to lie below images"):
        credited_index_sums(np.zeros(3, np.float32), np.array([0, 1, 2], np.uint32), 2)
    with pytest.raises(ValueError, match="of one shape"):
        credited_index_sums(np.zeros(3, np.float32), np.zeros(2, np.uint32), 2)
