from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from fiqa_fast.images.align import align_faces, resize_crop
from fiqa_fast.images.decode import decode_image
from fiqa_fast.report import thumbnails
from fiqa_fast.report.thumbnails import Thumbnail, ThumbnailRequest, make_thumbnails
from fiqa_fast.types import DetectedFace, FaceImage, UInt8Array

# Near enough to person_a_2.jpg's landmarks; the thumbnail is compared with the crop they give.
LANDMARKS = (270.0, 330.0, 430.0, 325.0, 345.0, 430.0, 285.0, 510.0, 420.0, 505.0)
BOX = (180.0, 170.0, 340.0, 450.0)


def decode(thumbnail: Thumbnail) -> UInt8Array:
    head, data = thumbnail.data_uri.split(",")
    assert head == "data:image/webp;base64"
    bgr = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def write_picture(path: Path, pixels: UInt8Array) -> str:
    assert cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return str(path)


def test_a_detected_face_shows_the_crop_that_was_scored(photo: Path) -> None:
    (thumbnail,) = make_thumbnails([ThumbnailRequest(str(photo), BOX, LANDMARKS)])

    face = DetectedFace(
        np.array(BOX, np.float32), np.array(LANDMARKS, np.float32).reshape(5, 2), 1.0
    )
    crop = align_faces(decode_image(str(photo)), [face])[0].crop
    picture = decode(thumbnail)
    assert picture.shape == crop.shape == (112, 112, 3)
    # Lossy compression, but the same picture in the same colours.
    assert np.abs(picture.astype(int) - crop).mean() < 6


def test_a_given_crop_is_shown_as_it_is(tmp_path: Path) -> None:
    red = np.zeros((112, 112, 3), np.uint8)
    red[..., 0] = 200
    path = write_picture(tmp_path / "red.png", red)

    (thumbnail,) = make_thumbnails([ThumbnailRequest(path, (), ())])

    np.testing.assert_allclose(decode(thumbnail), red, atol=8)


def test_an_image_of_another_size_is_shown_as_it_was_scored(photo: Path) -> None:
    (thumbnail,) = make_thumbnails([ThumbnailRequest(str(photo), (), ())])

    scored = resize_crop(decode_image(str(photo))).crop
    assert np.abs(decode(thumbnail).astype(int) - scored).mean() < 6


@pytest.mark.parametrize(
    "landmarks", [LANDMARKS[:8], (5.0, 5.0) * 5], ids=["too few", "all in one point"]
)
def test_damaged_landmarks_give_a_reason(photo: Path, landmarks: tuple[float, ...]) -> None:
    (thumbnail,) = make_thumbnails([ThumbnailRequest(str(photo), BOX, landmarks)])

    assert thumbnail.data_uri == ""
    assert photo.name in thumbnail.missing_reason


def test_a_vanished_photograph_gives_the_reason_and_spares_the_others(
    tmp_path: Path, photo: Path
) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    requests = [
        ThumbnailRequest(str(tmp_path / "gone.jpg"), (), ()),
        ThumbnailRequest(str(photo), BOX, LANDMARKS),
        ThumbnailRequest(str(tmp_path / "text.jpg"), (), ()),
    ]

    gone, there, text = make_thumbnails(requests)

    assert gone.data_uri == text.data_uri == ""
    assert "gone.jpg" in gone.missing_reason
    assert text.missing_reason
    assert there.data_uri
    assert not there.missing_reason


def test_a_photograph_of_many_faces_is_decoded_once(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def counting(path: str) -> FaceImage:
        decoded.append(path)
        return decode_image(path)

    monkeypatch.setattr(thumbnails, "decode_image", counting)
    shifted = tuple(value + 40 for value in LANDMARKS)
    faces = [ThumbnailRequest(str(photo), BOX, points) for points in (LANDMARKS, shifted)]

    first, second = make_thumbnails(faces)

    assert decoded == [str(photo)]
    assert first != second
