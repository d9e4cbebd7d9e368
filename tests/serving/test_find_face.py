from dataclasses import replace

import numpy as np
import pytest

from fiqa_fast.pipeline import FaceFinder
from fiqa_fast.serving.find_face import PLACEHOLDER, find_face
from fiqa_fast.types import AlignedFace, FailedImage, FailureReason


@pytest.fixture(scope="module")
def finder():
    return FaceFinder(max_megapixels=4)


def as_from_a_file(found, path):
    """What the server says, with the path that it does not know."""
    if isinstance(found, FailedImage):
        return replace(found, path=path, message=found.message.replace(PLACEHOLDER, path))
    return replace(found, path=path)


@pytest.fixture
def files(tmp_path, faces_dir):
    import cv2

    photo = cv2.imread(str(faces_dir / "person_a_1.jpg"))
    contents = {
        "photo.jpg": (faces_dir / "person_a_1.jpg").read_bytes(),
        "grey.png": cv2.imencode(".png", cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY))[1].tobytes(),
        "grey without face.png": cv2.imencode(".png", np.zeros((50, 50), np.uint8))[1].tobytes(),
        "no face.png": cv2.imencode(".png", np.zeros((50, 60, 3), np.uint8))[1].tobytes(),
        "large.png": cv2.imencode(".png", np.zeros((3000, 3000), np.uint8))[1].tobytes(),
        "cut.jpg": (faces_dir / "person_a_1.jpg").read_bytes()[:5000],
        "empty.jpg": b"",
        "text.txt": b"hello",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [tmp_path / name for name in contents]


def test_is_what_a_local_run_finds(finder, files):
    reasons = []
    for path in files:
        expected = finder.find(path)
        if isinstance(expected, list):
            (expected,) = expected
        found = as_from_a_file(find_face(finder, path.read_bytes()), str(path))
        if isinstance(expected, FailedImage):
            reasons.append(found.reason)
            assert found == expected
        else:
            reasons.append("")
            assert isinstance(found, AlignedFace)
            np.testing.assert_array_equal(found.crop, expected.crop)
            np.testing.assert_array_equal(found.detection.box, expected.detection.box)
            np.testing.assert_array_equal(found.detection.landmarks, expected.detection.landmarks)
            assert (found.note, found.path) == (expected.note, expected.path)
    assert reasons == [
        "",
        "",
        FailureReason.NO_FACE,
        FailureReason.NO_FACE,
        FailureReason.IMAGE_TOO_LARGE,
        FailureReason.CORRUPT_IMAGE,
        FailureReason.EMPTY_FILE,
        FailureReason.NOT_AN_IMAGE,
    ]


def test_crops_that_are_aligned_already(crops, files):
    import cv2

    finder = FaceFinder(None)
    png = cv2.imencode(".png", cv2.cvtColor(crops[0], cv2.COLOR_RGB2BGR))[1].tobytes()
    found = find_face(finder, png)
    np.testing.assert_array_equal(found.crop, crops[0])
    assert found.detection is None
    path = next(path for path in files if path.name == "grey.png")
    (expected,) = finder.find(path)
    found = find_face(finder, path.read_bytes())
    assert found.note == expected.note
    assert "resized" in found.note
    assert "grey" in found.note


def test_fault_of_a_library_costs_one_image(finder, faces_dir, monkeypatch):
    def broken(*arguments, **named):
        raise RuntimeError("out of cheese")

    monkeypatch.setattr("fiqa_fast.serving.find_face.decode_bytes", broken)
    found = find_face(finder, b"x")
    assert found.reason == FailureReason.INTERNAL_ERROR
    assert "out of cheese" in found.message
