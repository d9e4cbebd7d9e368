import numpy as np
import pytest

from fiqa_fast.errors import ImageError
from fiqa_fast.images.decode import decode_bytes
from fiqa_fast.training.data.crops import find_unreadable, read_crop
from fiqa_fast.types import FailureReason


def test_a_crop_is_decoded_as_everywhere(memory_set, jpeg):
    found = read_crop(memory_set([0, 0]), 1)
    assert found.shape == (112, 112, 3)
    assert np.array_equal(found, decode_bytes(jpeg(1)).pixels)


def test_other_sizes_are_resized_or_refused(memory_set, jpeg):
    training_set = memory_set([0], images=[jpeg(0, (96, 112))])
    assert read_crop(training_set, 0).shape == (112, 112, 3)
    with pytest.raises(ImageError, match=r"faces: 000\.jpg: .* got 96 x 112"):
        read_crop(training_set, 0, "refuse")


def test_messages_name_the_sample_once(memory_set):
    with pytest.raises(ImageError, match=r"^faces: 000\.jpg: the file is empty$") as caught:
        read_crop(memory_set([0], images=[b""]), 0)
    assert caught.value.reason == FailureReason.EMPTY_FILE


def test_unreadable_samples_are_found_beforehand(memory_set, jpeg):
    images = [jpeg(0), jpeg(1)[:-100], jpeg(2, (50, 50)), b"text"]
    training_set = memory_set([0, 0, 1, 1], images=images)
    found = dict(find_unreadable(training_set, threads=2))
    assert list(found) == [0, 1, 2, 3]
    assert found[0] is None
    assert found[1].reason == FailureReason.CORRUPT_IMAGE
    assert (found[3].sample, found[3].reason) == ("003.jpg", FailureReason.NOT_AN_IMAGE)
    assert found[2] is None
    strict = dict(find_unreadable(training_set, "refuse", threads=2))
    assert [position for position, why in strict.items() if why] == [1, 2, 3]
