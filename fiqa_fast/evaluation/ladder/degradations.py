"""Six ways to spoil an aligned crop, in five levels each."""

from __future__ import annotations

import zlib

import cv2
import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import UInt8Array

LEVELS: dict[str, tuple[float, ...]] = {
    # degradation: its parameter at levels 1, 2, 3, 4, 5
    "blur": (0.5, 1.0, 2.0, 3.0, 5.0),  # sigma of the Gaussian, pixels
    "noise": (5.0, 10.0, 20.0, 40.0, 60.0),  # sigma of the Gaussian, grey levels of 0..255
    "downscale": (64.0, 40.0, 24.0, 16.0, 10.0),  # side of the reduced image, pixels
    "darkness": (0.7, 0.5, 0.3, 0.15, 0.07),  # factor on every pixel
    "occlusion": (0.1, 0.2, 0.35, 0.5, 0.65),  # fraction of the rows blacked out, from below
    "jpeg": (50.0, 30.0, 15.0, 5.0, 2.0),  # quality setting, 100 is best
}
"""The ladder. Severity grows with the level."""


def degrade(crop: UInt8Array, degradation: str, level: int, *, photo: str) -> UInt8Array:
    """Degrades a crop as `LEVELS` says.

    Args:
        crop: uint8 [112, 112, 3], RGB.
        degradation: a key of `LEVELS`.
        level: 1 to 5.
        photo: name that seeds the noise, together with the level; the others draw nothing.

    Returns:
        uint8 [112, 112, 3], RGB; a new array.

    Raises:
        InvalidArgumentError: an unknown degradation or level.
    """
    if degradation not in LEVELS:
        raise InvalidArgumentError(
            f"degrade: expected degradation to be one of {', '.join(LEVELS)}, got {degradation!r};"
            " pick one of them"
        )
    if not 1 <= level <= len(LEVELS[degradation]):
        raise InvalidArgumentError(
            f"degrade: expected level from 1 to {len(LEVELS[degradation])}, got {level};"
            " level 0 is the crop itself"
        )
    parameter = LEVELS[degradation][level - 1]
    match degradation:
        case "blur":
            return blur(crop, parameter)
        case "noise":
            return add_noise(crop, parameter, noise_seed(photo, level))
        case "downscale":
            return downscale(crop, int(parameter))
        case "darkness":
            return darken(crop, parameter)
        case "occlusion":
            return occlude(crop, parameter)
        case _:
            return compress_jpeg(crop, int(parameter))


def blur(crop: UInt8Array, sigma_px: float) -> UInt8Array:
    """Blurs with a Gaussian; OpenCV picks the kernel size from sigma."""
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma_px), dtype=np.uint8)


def noise_seed(photo: str, level: int) -> int:
    """Gives every photograph and level a seed of its own, the same on every machine."""
    return zlib.crc32(f"{photo}/noise/{level}".encode("utf-8", "surrogateescape"))


def add_noise(crop: UInt8Array, sigma: float, seed: int) -> UInt8Array:
    """Adds Gaussian noise of `sigma` grey levels, rounds to nearest and clips to 0..255."""
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal(crop.shape)
    return np.clip(np.rint(crop + sigma * normal), 0, 255).astype(np.uint8)


def downscale(crop: UInt8Array, side_px: int) -> UInt8Array:
    """Reduces to `side_px` squared by area and enlarges back linearly."""
    height, width = crop.shape[:2]
    reduced = cv2.resize(crop, (side_px, side_px), interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, dtype=np.uint8)


def darken(crop: UInt8Array, factor: float) -> UInt8Array:
    """Multiplies every pixel and rounds to nearest."""
    darkened: UInt8Array = np.rint(crop * factor).astype(np.uint8)
    return darkened


def occlude(crop: UInt8Array, fraction: float) -> UInt8Array:
    """Blacks out that fraction of the rows, from below."""
    occluded = crop.copy()
    rows = round(fraction * len(crop))
    occluded[len(crop) - rows :] = 0
    return occluded


def compress_jpeg(crop: UInt8Array, quality: int) -> UInt8Array:
    """Encodes as JPEG and decodes again."""
    bgr = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])
