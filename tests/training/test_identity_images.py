import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.identity_images import group_by_identity


def draw(count: int = 6, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 8)).astype(dtype)


def test_images_are_grouped_in_their_order():
    images = group_by_identity(draw(), np.array([2, 0, 1, 2, 0, 2], np.uint8))
    assert images.rows.tolist() == [1, 4, 2, 0, 3, 5]
    assert images.begins.tolist() == [0, 2, 3, 6]


def test_blocks_hold_whole_identities():
    images = group_by_identity(draw(10), np.array([0, 0, 0, 0, 0, 1, 1, 2, 2, 3]))
    assert list(images.blocks(4)) == [(0, 1), (1, 3), (3, 4)]
    assert list(images.blocks(100)) == [(0, 4)]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_unit_rows(dtype):
    embeddings = draw(dtype=dtype)
    images = group_by_identity(embeddings, np.zeros(6, int))
    wide = embeddings.astype(np.float64)
    expected = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    np.testing.assert_allclose(images.unit_rows(np.arange(6)), expected, atol=2e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_unusable_embeddings_are_named(value):
    embeddings = draw()
    embeddings[[1, 4]] = value
    with pytest.raises(InvalidArgumentError, match=r"finite embeddings.* for row 1, row 4; leave"):
        group_by_identity(embeddings, np.zeros(6, int))


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (np.array([0, 1, 3, 3, 5, 1]), "got none for identity 2, identity 4; leave them out"),
        (np.array([0, 1, 1, 1, 1, 6]), "numbers from 0 on without gaps, got 0 to 6"),
        (np.array([0, -1, 1, 1, 1, 1]), "numbers from 0 on without gaps, got -1 to 1"),
        (np.zeros(5, int), "identity and embeddings of one length, got 5 and 6"),
        (np.zeros(6), "integers of shape"),
        (np.zeros((6, 1), int), "integers of shape"),
    ],
)
def test_wrong_identities_are_refused(identity, message):
    with pytest.raises(InvalidArgumentError, match=message):
        group_by_identity(draw(), identity)


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.ones((6, 2, 2), np.float32), r"shape \[S, D\], got \[6, 2, 2\]"),
        (np.ones((0, 8), np.float32), r"shape \[S, D\], got \[0, 8\]"),
        (np.ones((6, 8)), "float32 or float16, got float64"),
    ],
)
def test_wrong_embeddings_are_refused(embeddings, message):
    with pytest.raises(InvalidArgumentError, match=message):
        group_by_identity(embeddings, np.zeros(len(embeddings), int))
