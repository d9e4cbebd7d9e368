import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation import similarity
from fiqa_fast.evaluation.similarity import (
    angular_distance,
    cosine_of_pairs,
    row_norms,
    unit_rows,
)


def draw(samples, dimensions=512, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return (20 * rng.standard_normal((samples, dimensions))).astype(dtype)


def draw_pairs(samples, count, seed=1):
    return np.random.default_rng(seed).integers(0, samples, (2, count)).astype(np.int32)


def twin(embeddings, a, b):
    rows = embeddings.astype(np.float64)
    units = rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return (units[a] * units[b]).sum(axis=1)


def test_cosines_by_hand():
    embeddings = np.array([[3, 4], [4, 3], [-3, -4], [0, 2], [8, -6]], np.float32)
    a, b = np.array([0, 0, 0, 3, 0]), np.array([1, 2, 3, 3, 4])
    cosines = cosine_of_pairs(embeddings, a, b)
    assert cosines.dtype == np.float32
    np.testing.assert_allclose(cosines, [0.96, -1, 0.8, 1, 0], atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("dimensions", [1, 3, 128, 512, 2048])
def test_same_as_in_float64(dtype, dimensions):
    embeddings = draw(60, dimensions, dtype=dtype)
    embeddings[:, 0] += 1e-3  # a single dimension must not be zero
    # Near copies too, where cosines are close to 1.
    embeddings[30:] = (embeddings[:30].astype(np.float32) * 1.001).astype(dtype)
    a, b = draw_pairs(60, 3000)
    difference = cosine_of_pairs(embeddings, a, b) - twin(embeddings, a, b)
    assert np.abs(difference).max() <= 1e-6


@given(st.integers(1, 70), st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_does_not_depend_on_how_many_pairs_are_taken_together(pairs_at_once, count, seed):
    embeddings = draw(9, 37)
    a, b = draw_pairs(9, count, seed)
    together = cosine_of_pairs(embeddings, a, b)
    chunked = cosine_of_pairs(embeddings, a, b, pairs_at_once=pairs_at_once)
    alone = [cosine_of_pairs(embeddings, a[i : i + 1], b[i : i + 1])[0] for i in range(count)]
    assert together.tolist() == chunked.tolist() == alone
    assert together.tolist() == cosine_of_pairs(embeddings, b, a).tolist()


def test_does_not_depend_on_the_order_of_the_pairs(monkeypatch):
    """Over several tiles of rows and several portions of pairs."""
    monkeypatch.setattr(similarity, "_TILE", 16)
    monkeypatch.setattr(similarity, "_PAIRS_ORDERED_TOGETHER", 1000)
    embeddings = draw(1500, 24)
    a, b = draw_pairs(1500, 4321)
    cosines = cosine_of_pairs(embeddings, a, b)
    assert np.abs(cosines - twin(embeddings, a, b)).max() <= 1e-6
    order = np.random.default_rng(2).permutation(4321)
    assert (cosine_of_pairs(embeddings, a[order], b[order]) == cosines[order]).all()


def test_more_rows_than_sixteen_bits_of_tiles_would_hold():
    embeddings = draw(256 * 512 + 3000, 2)
    a, b = draw_pairs(len(embeddings), 5000)
    assert np.abs(cosine_of_pairs(embeddings, a, b) - twin(embeddings, a, b)).max() <= 1e-6


def test_reads_a_memory_map(tmp_path):
    embeddings = draw(50, 8)
    np.save(tmp_path / "e.npy", embeddings)
    a, b = draw_pairs(50, 200)
    mapped = np.load(tmp_path / "e.npy", mmap_mode="r")
    assert (cosine_of_pairs(mapped, a, b) == cosine_of_pairs(embeddings, a, b)).all()


def test_a_sample_without_an_embedding_gives_nan_and_harms_no_other():
    embeddings = draw(4, 8)
    complete = cosine_of_pairs(embeddings, np.array([0, 0, 1]), np.array([1, 2, 3]))
    embeddings[2, 5] = np.nan
    cosines = cosine_of_pairs(embeddings, np.array([0, 0, 1]), np.array([1, 2, 3]))
    assert math.isnan(cosines[1])
    assert cosines[[0, 2]].tolist() == complete[[0, 2]].tolist()


def test_rounding_never_leaves_the_range_of_a_cosine():
    embeddings = draw(300, 7)
    cosines = cosine_of_pairs(np.vstack([embeddings, -embeddings]), *draw_pairs(600, 20000))
    assert np.abs(cosines).max() == 1
    same = np.arange(300)
    assert cosine_of_pairs(embeddings, same, same).max() <= 1


def test_no_pairs():
    none = np.empty(0, np.int32)
    assert cosine_of_pairs(draw(3, 4), none, none).shape == (0,)


def test_angular_distance_by_hand():
    cosines = np.array([1, 0.5, 0, -1, 1.0000001], np.float32)
    np.testing.assert_allclose(angular_distance(cosines), [0, 1 / 3, 1 / 2, 1, 0], atol=1e-12)


@pytest.mark.parametrize("scale", [1e-14, 1.0, 1e14])
def test_norms_of_any_usual_size(scale):
    embeddings = (draw(10, 16) / 100 * scale).astype(np.float32)
    norms = row_norms(embeddings)
    np.testing.assert_allclose(norms, np.linalg.norm(embeddings.astype(np.float64), axis=1))
    np.testing.assert_allclose(np.linalg.norm(unit_rows(embeddings), axis=1), 1, atol=1e-6)
    a, b = draw_pairs(10, 50)
    assert np.abs(cosine_of_pairs(embeddings, a, b) - twin(embeddings, a, b)).max() <= 1e-6


def test_norms_of_more_rows_than_are_taken_together():
    embeddings = draw(2500, 3)
    np.testing.assert_allclose(
        row_norms(embeddings), np.sqrt((embeddings.astype(np.float64) ** 2).sum(axis=1))
    )


@pytest.mark.parametrize("value", [0, np.inf, -np.inf, 1e20])
def test_refuses_zero_and_infinite_embeddings_by_row(value):
    embeddings = draw(5, 4)
    embeddings[3] = value
    with pytest.raises(InvalidArgumentError, match=r"row 3; .* NaN"):
        cosine_of_pairs(embeddings, np.array([0]), np.array([1]))


@pytest.mark.parametrize(
    ("embeddings", "a", "b", "message"),
    [
        (np.ones(4, np.float32), [0], [0], r"shape \[S, D\], got \[4\]"),
        (np.ones((4, 0), np.float32), [0], [0], r"shape \[S, D\], got \[4, 0\]"),
        (np.ones((4, 2)), [0], [0], "float32 or float16, got float64"),
        (np.ones((4, 2), np.float32), [0, 1], [0], r"same shape \[N\], got \[2\] and \[1\]"),
        (np.ones((4, 2), np.float32), [0], [4], "sample_b to hold positions from 0 to 3"),
        (np.ones((4, 2), np.float32), [-1], [0], "sample_a to hold positions from 0 to 3"),
        (np.ones((4, 2), np.float32), [0.0], [0], "sample_a to be integers"),
        (np.ones((4, 2), np.float32), [[0]], [[0]], r"sample_a to be integers of shape \[N\]"),
    ],
)
def test_refuses_wrong_input(embeddings, a, b, message):
    with pytest.raises(InvalidArgumentError, match=message):
        cosine_of_pairs(embeddings, np.array(a), np.array(b))


def test_refuses_to_take_no_pair_at_a_time():
    with pytest.raises(InvalidArgumentError, match="pairs_at_once"):
        cosine_of_pairs(draw(2, 2), np.array([0]), np.array([1]), pairs_at_once=0)
