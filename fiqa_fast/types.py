"""What travels along the way of the data: photograph -> aligned face -> quality score."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

CROP_SIZE_PX = 112
"""Height and width of an aligned crop (the ArcFace template's)."""


class FailureReason(StrEnum):
    """Why an image or a face has no score. The value stands in the `reason` column."""

    FILE_NOT_FOUND = "file_not_found"
    EMPTY_FILE = "empty_file"
    NOT_AN_IMAGE = "not_an_image"
    CORRUPT_IMAGE = "corrupt_image"
    IMAGE_TOO_LARGE = "image_too_large"
    NO_FACE = "no_face"
    SCORING_FAILED = "scoring_failed"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True)
class FaceImage:
    """A decoded photograph.

    Attributes:
        path: where it came from, as the user wrote it.
        pixels: uint8 [H, W, 3], RGB, upright (EXIF orientation applied).
        note: what had to be converted while decoding ("grey", "alpha", ...), or "".
    """

    path: str
    pixels: UInt8Array
    note: str = ""


@dataclass(frozen=True)
class DetectedFace:
    """A face found in a photograph; coordinates in its pixels, pixel centres at integers.

    Attributes:
        box: float32 [4]: left, top, width, height.
        landmarks: float32 [5, 2], (x, y): eye left in the image, eye right in the image, nose
            tip, mouth corner left in the image, mouth corner right in the image.
        confidence: the detector's score, 0..1.
    """

    box: Float32Array
    landmarks: Float32Array
    confidence: float


@dataclass(frozen=True)
class AlignedFace:
    """A crop ready to be scored.

    Attributes:
        path: the photograph it came from.
        crop: uint8 [112, 112, 3], RGB.
        face_index: position among the photograph's faces, the largest first; 0 for a crop that
            was given as it is.
        detection: where the face was found; None for a crop that was given as it is.
        note: what was done to the image on the way here, or "".
    """

    path: str
    crop: UInt8Array
    face_index: int = 0
    detection: DetectedFace | None = None
    note: str = ""


@dataclass(frozen=True)
class FailedImage:
    """An image (or face) that cannot be scored, and why. It becomes rows of the table too."""

    path: str
    reason: FailureReason
    message: str


@dataclass(frozen=True)
class QualityScore:
    """One score of one face, with everything needed to trace the number.

    Attributes:
        scorer: registered name, such as "grafiqs".
        output: which quantity of the method, such as "b2"; "score" where there is only one.
        raw_score: on the method's own scale and polarity; None where no score could be given.
        higher_is_better: the polarity of `raw_score`.
        quality: 0..100, higher is better; None where no calibration fits (see `quality_reason`).
        quality_reason: why `quality` is None, or "".
        backbone: registered name of the network.
        weights_sha256: digest of the network's weights file.
        bn_statistics: where the network's BatchNorm statistics come from: "training", "none", or
            how they were re-estimated.
        variant: "official" (what published tables used) or "paper".
        parameters: the method's own parameters, as JSON with sorted keys, without those that are
            left to the method.
        precision: the arithmetic that really ran: "float32", "bf16", ...
        device: where it ran: "cpu", "cuda:0", ...
        engine: what ran it: "torch".
        seed: of the method's random draws; None for a method without any.
        version: of fiqa_fast.
    """

    scorer: str
    output: str
    raw_score: float | None
    higher_is_better: bool
    quality: float | None
    quality_reason: str
    backbone: str
    weights_sha256: str
    bn_statistics: str
    variant: str
    parameters: str
    precision: str
    device: str
    engine: str
    seed: int | None
    version: str
