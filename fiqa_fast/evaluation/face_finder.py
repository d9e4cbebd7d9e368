"""How a protocol's images become crops."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.images.decode import DEFAULT_MAX_MEGAPIXELS
from fiqa_fast.images.detect import YuNetDetector
from fiqa_fast.pipeline import FaceFinder, Source
from fiqa_fast.types import AlignedFace, DetectedFace, FailedImage, Float32Array, UInt8Array


def face_finder(
    protocol: Protocol | TemplateProtocol, *, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS
) -> FaceFinder:
    """The finder for a protocol's sources: crops as they are, by landmarks, or by detection.

    Where the data set brings landmarks, the numbers that `FaceFinder.find` is given must be
    positions in `protocol.samples`. Of several faces in an image the largest is taken.

    Args:
        protocol: says whether its images are aligned, and may bring landmarks.
        max_megapixels: larger images are refused before they are decoded.
    """
    if protocol.aligned:
        return FaceFinder(None, max_megapixels=max_megapixels)
    if isinstance(protocol, TemplateProtocol) and protocol.landmarks is not None:
        return _LandmarkFinder(None, max_megapixels=max_megapixels, landmarks=protocol.landmarks)
    return FaceFinder(max_megapixels=max_megapixels)


@dataclass(frozen=True)
class _LandmarkFinder(FaceFinder):
    """Aligns the one face of each image by landmarks: float32 [S, 5, 2]."""

    landmarks: Float32Array = field(default_factory=lambda: np.empty((0, 5, 2), np.float32))

    def find(self, source: Source, number: int = 0) -> list[AlignedFace] | FailedImage:
        detector = _KnownFace(self.landmarks[number])
        return FaceFinder(detector, max_megapixels=self.max_megapixels).find(source, number)


class _KnownFace(YuNetDetector):
    """In the place of a detector: finds the face that the data set says is there."""

    def __init__(self, landmarks: Float32Array) -> None:
        left_top = landmarks.min(0)
        box = np.concatenate([left_top, landmarks.max(0) - left_top])
        self._face = DetectedFace(box, landmarks, confidence=1.0)

    def detect(self, pixels: UInt8Array) -> list[DetectedFace]:
        return [self._face]
