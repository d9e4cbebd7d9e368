"""`preprocess.json` in a version folder of `face_preprocess`: how faces are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fiqa_fast.images.detect import YuNetDetector
from fiqa_fast.pipeline import FaceFinder

NAME = "preprocess.json"


@dataclass(frozen=True)
class PreprocessFile:
    """How an image becomes a crop.

    Attributes:
        faces: which face of a photograph: "largest" or "central".
        aligned: images are crops already.
        max_megapixels: larger images are refused.
        threads: images that one instance works on at a time.
    """

    faces: Literal["largest", "central"]
    aligned: bool
    max_megapixels: float
    threads: int

    def finder(self) -> FaceFinder:
        """What finds the face of an image."""
        return FaceFinder(
            None if self.aligned else YuNetDetector(),
            faces=self.faces,
            max_megapixels=self.max_megapixels,
        )
