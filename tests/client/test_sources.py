from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fiqa_fast.client.sources import check_sources, image_file
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.images.decode import decode_bytes
from fiqa_fast.pipeline import FaceFinder, source_name
from fiqa_fast.types import FailedImage, FailureReason


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 300, 3), (112, 112, 3)])
def test_pixels_travel_without_loss(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for given in (pixels, pixels[::-1], pixels[:, :, ::-1]):
        assert np.array_equal(decode_bytes(image_file(given, 0)).pixels, given)


def test_files_travel_as_they_are(faces_dir):
    path = faces_dir / "person_a_1.jpg"
    content = path.read_bytes()
    assert image_file(path, 0) == image_file(str(path), 0) == image_file(content, 0) == content


def test_what_cannot_be_sent_has_a_reason(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(100 << 20)
    reasons = {
        tmp_path / "gone.jpg": FailureReason.FILE_NOT_FOUND,
        tmp_path: FailureReason.NOT_AN_IMAGE,
        tmp_path / "empty.jpg": FailureReason.EMPTY_FILE,
        b"": FailureReason.EMPTY_FILE,
        large: FailureReason.IMAGE_TOO_LARGE,
    }
    for source, reason in reasons.items():
        failed = image_file(source, 3, max_megapixels=1)
        assert isinstance(failed, FailedImage)
        assert (failed.path, failed.reason) == (source_name(source, 3), reason)
        assert failed.message.startswith(failed.path)


def test_wrong_pixels_are_the_callers_mistake():
    with pytest.raises(InvalidArgumentError, match="uint8"):
        image_file(np.zeros((5, 5, 3), np.float32), 0)


@pytest.mark.parametrize("source", ["a.jpg", Path("a.jpg"), b"...", np.zeros((5, 5, 3), np.uint8)])
def test_one_image_is_no_list_of_images(source):
    with pytest.raises(InvalidArgumentError, match="expected a list of images"):
        check_sources(source)


def test_bytes_give_the_faces_of_the_file(faces_dir, tmp_path):
    finder = FaceFinder(faces="all")
    grey = tmp_path / "grey.png"
    Image.open(faces_dir / "person_b_2.jpg").convert("L").save(grey)
    for path in (faces_dir / "person_a_1.jpg", grey):
        of_file = finder.find(path, 4)
        of_bytes = finder.find(path.read_bytes(), 4)
        assert len(of_file) == len(of_bytes) >= 1
        for one, other in zip(of_file, of_bytes, strict=True):
            assert other.path == "<bytes 4>"
            assert np.array_equal(one.crop, other.crop)
            assert (one.face_index, one.note) == (other.face_index, other.note)


def test_bytes_fail_as_the_file_does(tmp_path):
    finder = FaceFinder()
    files = {"text.jpg": b"no image", "empty.jpg": b""}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    Image.new("LA", (300, 200), (90, 255)).save(tmp_path / "nobody.png")
    for path in tmp_path.iterdir():
        of_file = finder.find(path, 0)
        of_bytes = finder.find(path.read_bytes(), 0)
        message = of_file.message.replace(str(path), "<bytes 0>")
        assert of_bytes == replace(of_file, path="<bytes 0>", message=message)
