import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.similarity import cosine_of_pairs
from fiqa_fast.evaluation.templates import (
    image_weights,
    lowest_quality,
    pool_templates,
    verify_templates,
)

NAN, INF = math.nan, math.inf


def draw(samples=30, entries=60, templates=8, seed=0):
    """Embeddings and entries in no order; samples stand in several templates."""
    rng = np.random.default_rng(seed)
    embeddings = rng.standard_normal((samples, 16)).astype(np.float32)
    sample = rng.integers(0, samples, entries).astype(np.int32)
    template = rng.integers(0, templates, entries).astype(np.int32)
    template[:templates] = np.arange(templates)
    medium = rng.integers(0, 3, entries).astype(np.int32)
    return embeddings, sample, template, medium, templates, rng.random(samples)


def twin(embeddings, sample, template, medium, count, weights):
    """The protocol as a loop over templates and media in float64."""
    pooled = np.full((count, embeddings.shape[1]), np.nan)
    for t in range(count):
        total = np.zeros(embeddings.shape[1])
        for m in np.unique(medium[template == t]):
            images = sample[(template == t) & (medium == m)]
            images = images[~np.isnan(weights[images])]
            if len(images):
                weighted = weights[images, None] * embeddings[images].astype(np.float64)
                total += np.nan_to_num(weighted).mean(axis=0)
        if total.any():
            pooled[t] = total / np.linalg.norm(total)
    return pooled


def test_weights_by_hand():
    assert image_weights(np.array([2.0, -2, 0, 1])).tolist() == [1, 0, 0.5, 0.75]


def test_weights_of_images_without_a_score():
    weights = image_weights(np.array([2.0, -INF, 1, NAN, 4]))
    np.testing.assert_allclose(weights, [1 / 3, 0, 0, NAN, 1])


def test_equal_qualities_weigh_nothing_differently():
    np.testing.assert_array_equal(image_weights(np.array([3.0, 3, NAN, -INF])), [1, 1, NAN, 0])


@pytest.mark.parametrize("quality", [[], [NAN, NAN], [-INF], [1, INF], [[1.0, 2.0]]])
def test_refuses_weights_from_no_or_infinite_qualities(quality):
    with pytest.raises(InvalidArgumentError, match="quality scores of shape"):
        image_weights(np.array(quality, np.float64))


def test_pooling_by_hand():
    """One video of two frames and one photograph."""
    embeddings = np.array([[2, 0], [0, 4], [3, 3]], np.float32)
    entries = np.array([0, 1, 2]), np.array([0, 0, 0]), np.array([5, 5, 6])
    plain = pool_templates(embeddings, *entries, 1)  # (1, 2) + (3, 3) = (4, 5)
    np.testing.assert_allclose(plain, [[4 / math.sqrt(41), 5 / math.sqrt(41)]], rtol=1e-6)
    weights = np.array([0.5, 0.25, 1 / 3])  # (0.5, 0.5) + (1, 1)
    weighted = pool_templates(embeddings, *entries, 1, weights)
    np.testing.assert_allclose(weighted, [[math.sqrt(0.5), math.sqrt(0.5)]], rtol=1e-6)


def test_a_medium_of_low_quality_counts_less():
    """The mean divides by the number of images, not by their weights."""
    embeddings = np.eye(2, dtype=np.float32)
    entries = np.array([0, 1]), np.array([0, 0]), np.array([0, 1])
    pooled = pool_templates(embeddings, *entries, 1, np.array([0.3, 0.4]))
    np.testing.assert_allclose(pooled, [[0.6, 0.8]], rtol=1e-6)


@given(st.integers(0, 2**31), st.booleans())
def test_same_as_a_loop_in_float64(seed, is_weighted):
    embeddings, sample, template, medium, count, weights = draw(seed=seed)
    weights[[3, 4]] = NAN, 0
    weights = weights if is_weighted else np.ones(30)
    pooled = pool_templates(
        embeddings, sample, template, medium, count, weights if is_weighted else None
    )
    expected = twin(embeddings, sample, template, medium, count, weights)
    np.testing.assert_allclose(pooled, expected, atol=1e-6)


def test_entries_may_come_in_any_order():
    embeddings, sample, template, medium, count, weights = draw(entries=200)
    order = np.random.default_rng(1).permutation(200)
    pooled = pool_templates(embeddings, sample, template, medium, count, weights)
    shuffled = pool_templates(
        embeddings, sample[order], template[order], medium[order], count, weights
    )
    np.testing.assert_allclose(shuffled, pooled, atol=1e-6)


def test_the_same_number_is_another_medium_in_another_template():
    embeddings, sample, template, _, count, weights = draw()
    one_for_all = np.zeros(60, np.int32)
    np.testing.assert_array_equal(
        pool_templates(embeddings, sample, template, one_for_all, count, weights),
        pool_templates(embeddings, sample, template, template, count, weights),
    )


def test_an_image_of_weight_0_needs_no_embedding_but_counts_in_its_medium():
    embeddings = np.array([[1, 0], [NAN, NAN], [0, 1]], np.float32)
    entries = np.array([0, 1, 2]), np.array([0, 0, 0]), np.array([0, 0, 1])
    pooled = pool_templates(embeddings, *entries, 1, np.array([1.0, 0, 1]))
    np.testing.assert_allclose(pooled, [[1 / math.sqrt(5), 2 / math.sqrt(5)]], rtol=1e-6)


def test_an_image_that_is_left_out_does_not_count_in_its_medium():
    embeddings = np.array([[1, 0], [NAN, NAN], [0, 1]], np.float32)
    entries = np.array([0, 1, 2]), np.array([0, 0, 0]), np.array([0, 0, 1])
    pooled = pool_templates(embeddings, *entries, 1, np.array([1.0, NAN, 1]))
    np.testing.assert_allclose(pooled, [[math.sqrt(0.5), math.sqrt(0.5)]], rtol=1e-6)


def test_a_template_in_which_nothing_weighs_anything_has_no_embedding_and_is_never_accepted():
    embeddings = np.array([[1, 0], [0.9, 0.1], [0, 1], [NAN, 1]], np.float32)
    entries = np.array([0, 1, 2, 3]), np.array([0, 1, 2, 3]), np.array([0, 1, 2, 3])
    pooled = pool_templates(embeddings, *entries, 5, np.array([1.0, 1, 0, NAN]))
    assert np.isnan(pooled).all(axis=1).tolist() == [False, False, True, True, True]
    scores = cosine_of_pairs(pooled, np.array([0, 0, 0, 1]), np.array([1, 2, 3, 4]))
    result = verify_templates(scores, np.array([True, True, False, False]), fars=[0.5])
    assert result.tar_at_far == {"0.5": 0.5}
    assert "3 comparisons have a template without an embedding" in result.warnings[0]


def test_names_the_samples_that_have_a_weight_but_no_embedding():
    embeddings, sample, template, medium, count, weights = draw()
    embeddings[sample[[0, 7]]] = NAN
    with pytest.raises(InvalidArgumentError) as error:
        pool_templates(embeddings, sample, template, medium, count, weights)
    for position in sample[[0, 7]]:
        assert f"sample {position}" in str(error.value)


def test_pools_from_a_memory_map_in_float16(tmp_path):
    embeddings, sample, template, medium, count, weights = draw()
    np.save(tmp_path / "e.npy", embeddings.astype(np.float16))
    mapped = np.load(tmp_path / "e.npy", mmap_mode="r")
    pooled = pool_templates(mapped, sample, template, medium, count, weights)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(
        pooled, twin(np.array(mapped), sample, template, medium, count, weights), atol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample": np.array([0, 9])}, "template_sample to hold positions from 0 to 2, got 0 to 9"),
        ({"template": np.array([0, 2])}, "template_of to hold positions from 0 to 1"),
        ({"medium": np.array([0])}, r"same shape \[M\], got \[2\], \[2\] and \[1\]"),
        ({"medium": np.array([0.0, 1.0])}, "media_of to be integers"),
        ({"weights": np.array([1.0])}, r"weights of shape \[3\], got \[1\]"),
        ({"weights": np.array([1.0, -1, 1])}, "got -1.0 for sample 1"),
        ({"weights": np.array([1.0, 1, INF])}, "got inf for sample 2"),
    ],
)
def test_refuses_wrong_entries(change, message):
    given = {
        "sample": np.array([0, 1]),
        "template": np.array([0, 1]),
        "medium": np.array([0, 1]),
        "weights": np.ones(3),
    } | change
    with pytest.raises(InvalidArgumentError, match=message):
        pool_templates(
            np.ones((3, 2), np.float32),
            given["sample"],
            given["template"],
            given["medium"],
            2,
            given["weights"],
        )


def test_the_quality_of_a_template_is_that_of_its_worst_image():
    quality = np.array([3.0, 1, 2, NAN, -INF])
    sample, template = np.array([0, 2, 1, 0, 3, 3, 4, 0]), np.array([0, 0, 1, 1, 0, 2, 3, 3])
    lowest = lowest_quality(quality, sample, template, 5)
    np.testing.assert_array_equal(lowest, [2, 1, NAN, -INF, NAN])


def test_refuses_wrong_entries_for_template_qualities():
    with pytest.raises(InvalidArgumentError, match="template_sample"):
        lowest_quality(np.ones(2), np.array([2]), np.array([0]), 1)


def test_true_accept_rates_by_hand():
    non_mated = np.arange(1000) / 1000
    mated = np.array([0.5, 0.9991, 0.9995, 0.9985, 1.0])
    scores = np.concatenate([non_mated, mated]).astype(np.float32)
    is_mated = np.arange(1005) >= 1000
    result = verify_templates(scores, is_mated, fars=[0.001, 0.01, 1e-5])
    # At 0.001 one of 1000 may match: the threshold lies above 0.998.
    assert result.tar_at_far == {"0.001": 0.8, "0.01": 0.8, "1e-05": 0.6}
    assert result.decision_thresholds["0.001"] == np.nextafter(float(np.float32(0.998)), 1)
    assert (result.mated_count, result.non_mated_count) == (5, 1000)
    (warning,) = result.warnings
    assert "1000 non-mated comparisons cannot resolve an FMR of 1e-05" in warning


@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=50),
    st.sampled_from([np.float32, np.float64]),
)
def test_true_accept_rates_of_a_loop(pairs, dtype):
    pairs = [*pairs, (3, True), (4, False)]
    scores = (np.array([s for s, _ in pairs]) / 7).astype(dtype)
    mated = np.array([m for _, m in pairs])
    result = verify_templates(scores, mated, fars=[0.3, 0.05])
    for name, far in (("0.3", 0.3), ("0.05", 0.05)):
        allowed = [t for t in [*scores, np.float64(99)] if np.mean(scores[~mated] >= t) <= far]
        assert result.tar_at_far[name] == np.mean(scores[mated] >= min(allowed))


@pytest.mark.parametrize(
    ("scores", "mated", "fars", "message"),
    [
        ([0.5, 0.6], [True], [0.1], r"same shape \[N\], got \[2\] and \[1\]"),
        ([0.5, 0.6], [True, True], [0.1], "2 mated ones of 2"),
        ([0.5, 0.6], [False, False], [0.1], "0 mated ones of 2"),
        ([0.5, 0.6], [1, 0], [0.1], "mated to be bool"),
        ([0.5, 0.6], [True, False], [], "one or more FARs"),
        ([0.5, 0.6], [True, False], [1.0], "one or more FARs"),
        ([0.5, INF], [True, False], [0.1], r"got \+inf"),
    ],
)
def test_refuses_wrong_comparisons(scores, mated, fars, message):
    with pytest.raises(InvalidArgumentError, match=message):
        verify_templates(np.array(scores), np.array(mated), fars)
