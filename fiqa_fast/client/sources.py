"""Images as files for the server."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fiqa_fast.errors import ImageError, InvalidArgumentError
from fiqa_fast.images.decode import DEFAULT_MAX_MEGAPIXELS, read_image_file
from fiqa_fast.images.pixels import check_pixels
from fiqa_fast.pipeline import Source, source_name
from fiqa_fast.types import FailedImage, FailureReason, UInt8Array


def check_sources(sources: object) -> None:
    """Raises InvalidArgumentError for one image where many are expected."""
    if isinstance(sources, str | Path | bytes | np.ndarray):
        raise InvalidArgumentError(
            f"client: expected a list of images, got one {type(sources).__name__}; put it into a"
            " list, and folders through fiqa_fast.images.sources.find_images"
        )


def image_file(
    source: Source, number: int, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS
) -> bytes | FailedImage:
    """The source as an image file that holds all its pixels; or why there is none.

    Args:
        source: pixels become a PNG file, without loss.
        number: position among the sources.
        max_megapixels: files that must hold more, from their size, are not read.

    Raises:
        InvalidArgumentError: pixels of another shape or type.
    """
    name = source_name(source, number)
    try:
        if isinstance(source, np.ndarray):
            check_pixels("score", source)
            return _png(source)
        data = source if isinstance(source, bytes) else read_image_file(name, max_megapixels)
    except ImageError as error:
        return FailedImage(name, error.reason, str(error))
    if not data:
        return FailedImage(name, FailureReason.EMPTY_FILE, f"{name}: the file is empty")
    return data


def _png(pixels: UInt8Array) -> bytes:
    flags = (cv2.IMWRITE_PNG_COMPRESSION, 1)
    _, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), flags)
    return bytes(data)
