"""Reads an image file into upright RGB pixels, or says why it cannot be used."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from fiqa_fast.errors import ImageError, InvalidArgumentError
from fiqa_fast.images.header import (
    ImageHeader,
    open_with_pillow,
    read_header,
    too_large_for_pillow,
)
from fiqa_fast.images.integrity import check_complete
from fiqa_fast.images.opencv_quiet import quiet_opencv
from fiqa_fast.types import FaceImage, FailureReason, UInt8Array

DEFAULT_MAX_MEGAPIXELS = 64.0

# No honest file is larger than its pixels uncompressed, 16-bit RGBA, and some metadata.
_MAX_BYTES_PER_PIXEL = 8
_MAX_METADATA_BYTES = 64 << 20

# What OpenCV decodes to the same pixels as Pillow, and faster (12 megapixels: JPEG 49 ms against
# 96, PNG 192 against 248, WebP 111 against 201). It gets alpha (TIFF), CMYK, 16-bit order and
# animation wrong or differently, so everything else is Pillow's.
_OPENCV_MODES = {
    "JPEG": {"L", "RGB"},
    "PNG": {"1", "L", "P", "RGB"},
    "WebP": {"RGB"},
}


def decode_image(
    path: str | os.PathLike[str], *, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS
) -> FaceImage:
    """Reads a JPEG, PNG, WebP, BMP or TIFF file. The format is told by its content.

    The pixels are what a viewer shows: EXIF orientation applied; grey repeated in three channels;
    transparent pixels over white (the colour a page has, and identity photographs; the colours
    that hide below alpha 0 are arbitrary); 16 bits scaled to 8 as round(v / 257), so that 65535
    becomes 255; CMYK converted as Pillow does (inverted in a JPEG, as Adobe writes it, whether or
    not the file says so); of an animation or of several pages the first one. `note` says which of
    these applied. Colour profiles are not applied.

    Args:
        path: the file.
        max_megapixels: bound on width x height / 1e6, checked before anything is decoded.

    Returns:
        uint8 [H, W, 3], RGB, C-contiguous.

    Raises:
        ImageError: `file_not_found` (also: may not be read), `empty_file`, `not_an_image` (also: a
            folder, a TIFF of floating-point samples), `corrupt_image` (also: truncated),
            `image_too_large`.
        InvalidArgumentError: `max_megapixels` is not positive.

    Example:
        >>> decode_image("portrait.jpg").pixels.shape  # doctest: +SKIP
        (900, 689, 3)
    """
    name = os.fspath(path)
    data = read_image_file(name, max_megapixels)
    return decode_bytes(data, path=name, max_megapixels=max_megapixels)


def decode_bytes(
    data: bytes, *, path: str = "<bytes>", max_megapixels: float = DEFAULT_MAX_MEGAPIXELS
) -> FaceImage:
    """As `decode_image`, for a file that is in memory already.

    Args:
        data: the whole file.
        path: what `FaceImage.path` and messages shall say.
        max_megapixels: bound on width x height / 1e6, checked before anything is decoded.

    Raises:
        ImageError: `empty_file`, `not_an_image`, `corrupt_image`, `image_too_large`.
        InvalidArgumentError: `max_megapixels` is not positive.
    """
    limit = pixel_limit(max_megapixels)
    if not data:
        raise ImageError(FailureReason.EMPTY_FILE, f"{path}: the file is empty")
    header = read_header(data, path)
    if header.width * header.height > limit:
        raise ImageError(
            FailureReason.IMAGE_TOO_LARGE,
            f"{path}: expected at most {max_megapixels:g} megapixels, got {header.width} x"
            f" {header.height} = {header.width * header.height / 1e6:.1f}; scale it down, or raise"
            " the limit (max_megapixels)",
        )
    check_complete(header.format, data, path)
    try:
        pixels, notes = _decode(header, data)
    except MemoryError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large_for_pillow(path, error) from error
    except Exception as error:  # damaged bytes make Pillow raise nearly anything
        raise ImageError(
            FailureReason.CORRUPT_IMAGE,
            f"{path}: the {header.format} data cannot be decoded ({error})",
        ) from error
    if header.has_more_frames:
        notes.append("first of several frames")
    return FaceImage(path, _upright(pixels, header.orientation), ", ".join(notes))


def pixel_limit(max_megapixels: float) -> float:
    """The bound in pixels; raises InvalidArgumentError unless it is positive."""
    if not max_megapixels > 0:
        raise InvalidArgumentError(
            f"decode_image: expected max_megapixels > 0, got {max_megapixels}; the default is"
            f" {DEFAULT_MAX_MEGAPIXELS:g}"
        )
    return max_megapixels * 1e6


def read_image_file(path: str, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS) -> bytes:
    """Reads a file that may be an image, as it is.

    Args:
        path: the file.
        max_megapixels: a file that must hold more, from its size, is not read.

    Raises:
        ImageError: `file_not_found`, `not_an_image`, `image_too_large`.
        InvalidArgumentError: `max_megapixels` is not positive.
    """
    limit = pixel_limit(max_megapixels)
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(FailureReason.NOT_AN_IMAGE, f"{path}: is a folder, not a file")
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
            raise ImageError(FailureReason.NOT_AN_IMAGE, f"{path}: is not a regular file")
        if status.st_size > limit * _MAX_BYTES_PER_PIXEL + _MAX_METADATA_BYTES:
            raise ImageError(
                FailureReason.IMAGE_TOO_LARGE,
                f"{path}: a file of {status.st_size / 1e6:.0f} MB holds more than"
                f" {limit / 1e6:g} megapixels; raise the limit (max_megapixels)",
            )
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(FailureReason.FILE_NOT_FOUND, f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(
            FailureReason.FILE_NOT_FOUND, f"{path}: the file cannot be read ({reason})"
        ) from error


def _decode(header: ImageHeader, data: bytes) -> tuple[UInt8Array, list[str]]:
    """The pixels as they are stored (a TIFF's: upright), uint8 [H, W, 3] RGB, and notes."""
    if header.bits == 16:
        return _decode_16_bit(header, data)
    is_plain = not header.is_transparent and not header.has_more_frames
    if is_plain and header.mode in _OPENCV_MODES.get(header.format, ()):
        return _decode_8_bit(header, data)
    return _decode_with_pillow(header, data)


def _imdecode(header: ImageHeader, data: bytes, flags: int) -> np.ndarray:
    with quiet_opencv():
        pixels: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise ValueError("OpenCV refuses it")
    if sorted(pixels.shape[:2]) != sorted((header.height, header.width)):
        raise ValueError(
            f"got {pixels.shape[1]} x {pixels.shape[0]} pixels, not as its header says"
        )
    return pixels


def _decode_8_bit(header: ImageHeader, data: bytes) -> tuple[UInt8Array, list[str]]:
    if header.mode in ("1", "L"):
        flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
        grey = _imdecode(header, data, flags)
        return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8), ["grey"]
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    return np.asarray(_imdecode(header, data, flags), np.uint8), []


def _decode_16_bit(header: ImageHeader, data: bytes) -> tuple[UInt8Array, list[str]]:
    # OpenCV, because Pillow keeps the upper byte of a 16-bit colour only, which darkens by up to a
    # level. IMREAD_UNCHANGED, because with a colour conversion OpenCV leaves TIFFs in BGR order.
    levels = _imdecode(header, data, cv2.IMREAD_UNCHANGED)
    if levels.dtype != np.uint16:
        raise ValueError(f"expected 16-bit samples, got {levels.dtype}")
    notes = ["16-bit"]
    if header.is_inverted:
        levels = 65535 - levels
    if header.mode in ("I;16", "I;16B", "LA") or levels.ndim == 2:
        notes.append("grey")
    if levels.ndim == 2:
        return np.asarray(cv2.cvtColor(_scale_16_to_8(levels), cv2.COLOR_GRAY2RGB), np.uint8), notes
    if levels.shape[2] == 4:
        alpha = levels[..., 3:].astype(np.uint32)
        if alpha.min() < 65535:
            notes.append("transparency over white")
        over_white = levels[..., :3] * alpha + 65535 * (65535 - alpha)
        levels = ((over_white + 32767) // 65535).astype(np.uint16)
    return np.ascontiguousarray(_scale_16_to_8(levels)[..., ::-1]), notes


def _scale_16_to_8(levels: np.ndarray) -> UInt8Array:
    # round(v / 257): 65535 = 255 * 257, and 257 is odd, so there are no ties
    return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _decode_with_pillow(header: ImageHeader, data: bytes) -> tuple[UInt8Array, list[str]]:
    image: Image.Image = open_with_pillow(header.format, data)
    image.load()
    if header.format == "TIFF":
        image = ImageOps.exif_transpose(image)
    notes = []
    if image.mode in ("1", "L", "LA", "La"):
        notes.append("grey")
    if image.mode == "CMYK":
        notes.append("cmyk")
    if not image.has_transparency_data:
        return np.array(image.convert("RGB"), np.uint8), notes
    rgba = np.asarray(image.convert("RGBA"))
    if rgba[..., 3].min() < 255:
        notes.append("transparency over white")
    alpha = rgba[..., 3:].astype(np.uint16)
    over_white = rgba[..., :3] * alpha + 255 * (255 - alpha)
    return ((over_white + 127) // 255).astype(np.uint8), notes


def _upright(pixels: UInt8Array, orientation: int) -> UInt8Array:
    """Applies EXIF orientation 1..8 (CIPA DC-008, tag 0x0112)."""
    match orientation:
        case 2:
            turned = cv2.flip(pixels, 1)
        case 3:
            turned = cv2.rotate(pixels, cv2.ROTATE_180)
        case 4:
            turned = cv2.flip(pixels, 0)
        case 5:
            turned = cv2.transpose(pixels)
        case 6:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180)
        case 8:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
        case _:
            return pixels
    return np.asarray(turned, np.uint8)
