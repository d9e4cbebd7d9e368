"""From an image to its rows: what the two ways have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, TypedDict

from fiqa_fast.calibration import Calibration
from fiqa_fast.images.detect import FacePolicy
from fiqa_fast.pipeline import Source
from fiqa_fast.results import ScoreRow
from fiqa_fast.rows import ScoreColumn

Detect = Literal["server", "client", "none"]


class ImageChoices(TypedDict, total=False):
    """How images are scored.

    Attributes:
        detect: who finds faces. "server" (the default): images travel as files, and the server's
            repository decides which face it takes; "client": faces are found here, and crops
            travel; "none": images are crops that are aligned already.
        faces: with "client": "largest" (the default), "central" or "all".
        all_outputs: every output of each scorer instead of its chosen one.
        calibrations: from `read_calibrations`; they come before the packaged ones.
        max_megapixels: larger images are not read (but the server has a limit of its own).
    """

    detect: Detect
    faces: FacePolicy
    all_outputs: bool
    calibrations: Sequence[Calibration]
    max_megapixels: float


class ImageScoring(ABC):
    """Scores images, each for itself."""

    @abstractmethod
    async def columns(self) -> list[ScoreColumn]:
        """The columns, in the order of a face's rows, as the server has them now."""

    @abstractmethod
    async def rows(self, source: Source, number: int) -> list[ScoreRow]:
        """The rows of one image.

        Args:
            source: the image.
            number: position among the sources, which names an image that has no path.

        Raises:
            ServerError: there is no answer; one that concerns this image alone is a row instead.
            InvalidArgumentError: pixels of another shape or type.
        """
