import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.data.checks import SetSummary, check_labels, check_training_set


def test_a_sound_set_is_summed_up(memory_set):
    found = check_training_set(memory_set([0, 0, 1, 1, 1]))
    assert found == SetSummary(5, 2, 2, 3, 0, 0, ())


def test_an_empty_set(memory_set):
    with pytest.raises(InvalidArgumentError, match="expected images in faces, got none"):
        check_training_set(memory_set([]))


def test_an_identity_without_images(memory_set):
    training_set = memory_set([0, 0, 2, 2], identity_names=("a", "b", "c", "d"))
    with pytest.raises(InvalidArgumentError, match="got 2 without images: b, d"):
        check_training_set(training_set)
    found = check_training_set(training_set, empty_identity="warn")
    assert found.without_images == 2
    assert found.warnings == ("faces: 2 of 4 identities are without images: b, d",)


def test_identities_with_one_image(memory_set):
    training_set = memory_set([0, 1, 1, 2], identity_names=("a", "b", "c"))
    found = check_training_set(training_set)
    assert (found.single_image, found.fewest, found.most) == (2, 1, 2)
    assert found.warnings == ("faces: 2 of 3 identities are with one image: a, c",)
    with pytest.raises(InvalidArgumentError, match=r"images \(2 or more\) .* one image: a, c"):
        check_training_set(training_set, single_image="error")


def test_names_that_stand_there_twice(memory_set):
    training_set = memory_set([0, 0, 0, 0, 0], samples=("b", "a", "b", "c", "a"))
    with pytest.raises(InvalidArgumentError, match="distinct names in faces, got a, b more"):
        check_training_set(training_set)


def test_numbers_that_do_not_fit(memory_set):
    with pytest.raises(InvalidArgumentError, match="from 0 to 1 in faces, got 0 to 2"):
        check_training_set(memory_set([0, 2], identity_names=("a", "b")))
    with pytest.raises(InvalidArgumentError, match="each of the 2 samples of faces, got 1"):
        check_training_set(memory_set([0, 0], samples=("a",)))


def test_sound_labels_become_float32(memory_set):
    found = check_labels(memory_set([0, 0]), [1, 2])
    assert found.dtype == np.float32
    assert found.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([1.0], r"each of the 3 samples of faces, got float64 \[1\]"),
        ([[1.0], [2.0], [3.0]], r"got float64 \[3, 1\]"),
        (["a", "b", "c"], "a number for each"),
        ([True, False, True], "got bool"),
        ([0.5, np.nan, np.inf], r"got 2 that are not: 001\.jpg \(nan\), 002\.jpg \(inf\)"),
        ([0.5, 1e300, 1.0], r"001\.jpg \(1e\+300\)"),
    ],
)
def test_wrong_labels(memory_set, labels, said):
    with pytest.raises(InvalidArgumentError, match=said):
        check_labels(memory_set([0, 0, 0]), labels)
