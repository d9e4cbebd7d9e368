import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.evaluation import group_sums
from fiqa_fast.evaluation.group_sums import sum_groups


def twin(embeddings, rows, ends, coefficients):
    weighted = embeddings.astype(np.float64)[rows] * coefficients[:, None]
    begins = [0, *ends[:-1]]
    return [weighted[begin:end].sum(axis=0) for begin, end in zip(begins, ends, strict=True)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 20))
def test_same_as_a_loop_with_empty_groups_and_any_portions(sizes, at_once):
    rng = np.random.default_rng(len(sizes))
    embeddings = rng.standard_normal((5, 6)).astype(np.float32)
    ends = np.cumsum(sizes)
    rows, coefficients = rng.integers(0, 5, ends[-1]), rng.random(ends[-1])
    whole = sum_groups(embeddings, rows, ends, coefficients)
    np.testing.assert_allclose(whole, twin(embeddings, rows, ends, coefficients), atol=1e-5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_sums, "_ENTRIES_AT_ONCE", at_once)
        assert (sum_groups(embeddings, rows, ends, coefficients) == whole).all()


def test_no_groups():
    none = np.empty(0, np.int64)
    assert sum_groups(np.ones((2, 3), np.float32), none, none, np.empty(0)).shape == (0, 3)


def test_float16_from_a_read_only_memory_map(tmp_path):
    embeddings = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float16)
    np.save(tmp_path / "e.npy", embeddings)
    mapped = np.load(tmp_path / "e.npy", mmap_mode="r")
    rows, ends, coefficients = np.array([4, 0, 1]), np.array([2, 3]), np.array([0.5, 2, 1])
    np.testing.assert_allclose(
        sum_groups(mapped, rows, ends, coefficients),
        twin(embeddings, rows, ends, coefficients),
        atol=1e-6,
    )
