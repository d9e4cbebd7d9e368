import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.classifiability import describe_classifiability, measure_classifiability


def draw(samples=60, classes=9, seed=0, dimensions=24):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, dimensions)).astype(np.float32)
    identity = rng.integers(0, classes, samples)
    identity[:2] = 0, 1
    embeddings = 5 * centres[identity] + 3 * rng.standard_normal((samples, dimensions))
    return embeddings.astype(np.float32), identity, centres


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def twin(embeddings, identity, centres=None):
    """The definitions in float64, with the whole matrix of similarities."""
    samples = unit(embeddings.astype(np.float64))
    if centres is None:
        names = np.unique(identity)
        centres = np.stack([samples[identity == n].mean(axis=0) for n in names])
        identity = np.searchsorted(names, identity)
    cosines = samples @ unit(centres.astype(np.float64)).T
    own = np.arange(len(samples)), identity
    ccs = cosines[own]
    cosines[own] = -np.inf
    nnccs = cosines.max(axis=1)
    return ccs, nnccs, ccs / (nnccs + 1 + 1e-9)


def assert_same(found, expected):
    np.testing.assert_allclose(found.ccs, expected[0], atol=1e-6)
    np.testing.assert_allclose(found.nnccs, expected[1], atol=1e-6)
    np.testing.assert_allclose(found.cr, expected[2], atol=1e-5)


def test_by_hand():
    centres = np.array([[2, 0], [0, 3], [-1, 0]], np.float32)
    embeddings = np.array([[3, 4], [3, 4], [-5, 0]], np.float32)
    found = measure_classifiability(embeddings, np.array([0, 1, 1]), centres)
    np.testing.assert_allclose(found.ccs, [0.6, 0.8, 0], atol=1e-7)
    np.testing.assert_allclose(found.nnccs, [0.8, 0.6, 1], atol=1e-7)
    np.testing.assert_allclose(found.cr, [0.6 / 1.8, 0.8 / 1.6, 0], atol=1e-7)


def test_centres_by_hand():
    """Normalised embeddings have equal parts in their centre, however long they were."""
    embeddings = np.array([[100, 0], [0, 1], [-2, 0]], np.float32)
    found = measure_classifiability(embeddings, np.array([4, 4, 2]))
    half = math.sqrt(0.5)
    np.testing.assert_allclose(found.ccs, [half, half, 1], atol=1e-7)
    np.testing.assert_allclose(found.nnccs, [-1, 0, -half], atol=1e-7)


@given(st.integers(0, 2**31), st.integers(1, 70), st.booleans())
def test_same_as_in_float64_in_blocks_of_any_size(seed, block, are_given):
    embeddings, identity, centres = draw(seed=seed)
    centres = centres if are_given else None
    found = measure_classifiability(embeddings, identity, centres, block=block)
    assert_same(found, twin(embeddings, identity, centres))


def test_samples_may_come_in_any_order_and_persons_have_any_number():
    embeddings, identity, _ = draw()
    order = np.random.default_rng(1).permutation(60)
    first = measure_classifiability(embeddings, identity)
    second = measure_classifiability(embeddings[order], 1000 * identity[order] + 7)
    np.testing.assert_allclose(second.cr, first.cr[order], atol=1e-5)


def test_a_sample_without_an_embedding_is_nan_and_in_no_centre():
    embeddings, identity, centres = draw()
    rest = np.delete(np.arange(60), [4, 30])
    embeddings[[4, 30]] = np.nan
    for given_centres in (None, centres):
        found = measure_classifiability(embeddings, identity, given_centres, block=16)
        for values in (found.ccs, found.nnccs, found.cr):
            assert np.flatnonzero(np.isnan(values)).tolist() == [4, 30]
        expected = twin(embeddings[rest], identity[rest], given_centres)
        np.testing.assert_allclose(found.ccs[rest], expected[0], atol=1e-6)
        np.testing.assert_allclose(found.nnccs[rest], expected[1], atol=1e-6)


def test_a_person_without_any_embedding_has_no_centre():
    embeddings = np.array([[1, 0], [np.nan, 0], [0, 1]], np.float32)
    found = measure_classifiability(embeddings, np.array([0, 1, 2]))
    np.testing.assert_allclose(found.nnccs, [0, np.nan, 0], atol=1e-7)


def test_reads_float16_and_memory_maps(tmp_path):
    embeddings, identity, _ = draw()
    np.save(tmp_path / "e.npy", embeddings.astype(np.float16))
    mapped = np.load(tmp_path / "e.npy", mmap_mode="r")
    assert_same(measure_classifiability(mapped, identity), twin(np.array(mapped), identity))


def test_histograms_count_every_sample():
    embeddings, identity, _ = draw()
    embeddings[3] = np.nan
    ccs, nnccs, cr = describe_classifiability("LFW", measure_classifiability(embeddings, identity))
    assert [r.method for r in (ccs, nnccs, cr)] == ["CCS", "NNCCS", "CR"]
    assert ccs.edges == nnccs.edges
    for record in (ccs, nnccs, cr):
        assert record.data_set == "LFW"
        assert sum(record.counts) == 59
        assert record.missing == 1


@pytest.mark.parametrize(
    ("identity", "centres", "message"),
    [
        ([0, 0, 0], None, "two or more classes, got 1"),
        ([0, 0, 0], [[1, 2]], "two or more classes, got 1"),
        ([0, 1, -1], None, "identity to hold positions from 0"),
        ([0, 1, 2], [[1, 2], [2, 1]], "identity to hold positions from 0 to 1, got 0 to 2"),
        ([0.0, 1, 1], None, "identity to be integers"),
        ([0, 1], None, r"identity of shape \[3\], got \[2\]"),
        ([0, 1, 1], [[1, 2, 3], [2, 1, 3]], r"centres of shape \[C, 2\], got \[2, 3\]"),
        ([0, 1, 1], [[1, 2], [2, np.nan]], "got NaN in row 1"),
        ([0, 1, 1], [[1, 2], [0, 0]], "got 0 for row 1"),
    ],
)
def test_refuses_wrong_input(identity, centres, message):
    embeddings = np.array([[1, 2], [2, 1], [3, 3]], np.float32)
    given_centres = None if centres is None else np.array(centres, np.float32)
    with pytest.raises(InvalidArgumentError, match=message):
        measure_classifiability(embeddings, np.array(identity), given_centres)


def test_refuses_wrong_embeddings_and_blocks():
    with pytest.raises(InvalidArgumentError, match="float32 or float16"):
        measure_classifiability(np.ones((2, 2)), np.array([0, 1]))
    with pytest.raises(InvalidArgumentError, match="block to be at least 1"):
        measure_classifiability(np.ones((2, 2), np.float32), np.array([0, 1]), block=0)
