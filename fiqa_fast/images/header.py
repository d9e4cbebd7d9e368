"""Reads what an image file says about itself, without decoding a pixel."""

from __future__ import annotations

import io
import threading
import warnings
from dataclasses import dataclass
from typing import Literal

from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from fiqa_fast.errors import ImageError
from fiqa_fast.types import FailureReason

ImageFormat = Literal["JPEG", "PNG", "WebP", "BMP", "TIFF"]

_ORIENTATION_TAG = 0x0112
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_PHOTOMETRIC = 256, 257, 258, 262
_TIFF_SAMPLES, _TIFF_PLANAR, _TIFF_EXTRA_SAMPLES, _TIFF_SAMPLE_FORMAT = 277, 284, 338, 339

# warnings.catch_warnings changes a global of the process.
_warnings_lock = threading.Lock()


@dataclass(frozen=True)
class ImageHeader:
    """What the decoder needs to know beforehand.

    Attributes:
        format: by content, not by suffix.
        width: of the stored pixels, before any turn.
        height: of the stored pixels, before any turn.
        mode: Pillow's name of the pixel layout ("L", "RGB", "CMYK", ...); "" for a TIFF.
        bits: per sample: 8 (or fewer) or 16.
        is_inverted: a 16-bit TIFF in which 0 is white.
        is_transparent: has an alpha channel or a transparent colour.
        has_more_frames: an animation or a file of several pages.
        orientation: the EXIF orientation 1..8 that remains to be applied after decoding. 1 for a
            TIFF: there it belongs to the format, and the decoders apply it.
    """

    format: ImageFormat
    width: int
    height: int
    mode: str = ""
    bits: int = 8
    is_inverted: bool = False
    is_transparent: bool = False
    has_more_frames: bool = False
    orientation: int = 1


def read_header(data: bytes, path: str) -> ImageHeader:
    """Identifies an image by its content.

    Args:
        data: the whole file.
        path: for messages.

    Raises:
        ImageError: `not_an_image` for other kinds of data, and for TIFFs whose samples are no
            8-bit or 16-bit levels; `corrupt_image` when the header cannot be made sense of;
            `image_too_large` where Pillow's own limit strikes.
    """
    image_format = _sniff(data)
    if image_format is None:
        raise ImageError(
            FailureReason.NOT_AN_IMAGE,
            f"{path}: expected a JPEG, PNG, WebP, BMP or TIFF file, got content that starts with"
            f" {data[:8]!r}; convert it to one of these",
        )
    try:
        # A damaged EXIF block makes Pillow warn. It is no reason to bother anybody: the photograph
        # itself may be sound.
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = (
                _tiff_header(data, path)
                if image_format == "TIFF"
                else _raster_header(image_format, data)
            )
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise too_large_for_pillow(path, error) from error
    except Exception as error:  # Pillow's parsers raise whatever the damaged bytes lead to
        raise ImageError(
            FailureReason.CORRUPT_IMAGE, f"{path}: the {image_format} header is damaged ({error})"
        ) from error
    if header.width < 1 or header.height < 1:
        raise ImageError(
            FailureReason.CORRUPT_IMAGE,
            f"{path}: the {image_format} header promises {header.width} x {header.height} pixels",
        )
    return header


def open_with_pillow(image_format: ImageFormat, data: bytes) -> ImageFile.ImageFile:
    """Opens an image by its plugin, not by `Image.open`.

    `Image.open` compares the size with Pillow's own global limit, and warns or raises in a way that
    depends on the process's warning filters; the limit here is the caller's. (The TIFF and WebP
    plugins ask for the global limit nevertheless; it is far above the default limit here.)
    """
    stream = io.BytesIO(data)
    match image_format:
        case "JPEG":
            return JpegImagePlugin.JpegImageFile(stream)
        case "PNG":
            return PngImagePlugin.PngImageFile(stream)
        case "WebP":
            return WebPImagePlugin.WebPImageFile(stream)
        case "BMP":
            return BmpImagePlugin.BmpImageFile(stream)
        case "TIFF":
            return TiffImagePlugin.TiffImageFile(stream)


def too_large_for_pillow(path: str, error: Exception) -> ImageError:
    """The refusal of an image (TIFF or WebP) in which Pillow sees a decompression bomb."""
    return ImageError(
        FailureReason.IMAGE_TOO_LARGE,
        f"{path}: {error} Scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS",
    )


def _sniff(data: bytes) -> ImageFormat | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith(b"BM"):
        return "BMP"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    return None


def _raster_header(image_format: ImageFormat, data: bytes) -> ImageHeader:
    image = open_with_pillow(image_format, data)
    return ImageHeader(
        format=image_format,
        width=image.width,
        height=image.height,
        mode=image.mode,
        bits=16 if image_format == "PNG" and data[24] == 16 else 8,
        is_transparent=image.has_transparency_data,
        has_more_frames=bool(getattr(image, "is_animated", False)),
        orientation=_orientation(image),
    )


def _orientation(image: ImageFile.ImageFile) -> int:
    if isinstance(image, PngImagePlugin.PngImageFile):
        # PngImageFile.getexif() decodes the pixels in search of a late block, so only an EXIF block
        # in its usual place, before the pixels, is honoured.
        exif = Image.Exif()
        if "exif" in image.info:
            exif.load(image.info["exif"])
    else:
        exif = image.getexif()
    value = exif.get(_ORIENTATION_TAG, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _tiff_header(data: bytes, path: str) -> ImageHeader:
    # Pillow refuses to identify kinds of TIFF of which its directory reader says clearly what they
    # are, so the directory is read directly.
    is_big = data[2:4] in (b"+\0", b"\0+")
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if is_big else 8])
    stream = io.BytesIO(data)
    stream.seek(tags.next)
    tags.load(stream)

    bits = tuple(tags.get(_TIFF_BITS, (1,)))
    sample_formats = tuple(tags.get(_TIFF_SAMPLE_FORMAT, (1,)))
    photometric = int(tags.get(_TIFF_PHOTOMETRIC, 1))
    samples = int(tags.get(_TIFF_SAMPLES, 1))
    is_16_bit = max(bits) == 16
    extra_samples = tuple(tags.get(_TIFF_EXTRA_SAMPLES, ()))
    kind = {2: "signed integer", 3: "floating-point"}.get(max(sample_formats), "unsigned integer")
    if is_16_bit:
        is_readable = (
            min(bits) == 16
            and photometric in (0, 1, 2)
            and samples in (1, 3, 4)
            and (samples == 1 or int(tags.get(_TIFF_PLANAR, 1)) == 1)
            and 1 not in extra_samples  # colours multiplied with alpha
        )
    else:
        # grey (0, 1), RGB, palette, CMYK, YCbCr; not CIELAB and the exotic ones
        is_readable = max(bits) <= 8 and photometric in (0, 1, 2, 3, 5, 6)
    if kind != "unsigned integer" or not is_readable:
        raise ImageError(
            FailureReason.NOT_AN_IMAGE,
            f"{path}: expected a TIFF of 8-bit or 16-bit grey or colour levels, got {samples}"
            f" {kind} sample(s) of {max(bits)} bits per pixel (photometric interpretation"
            f" {photometric}); convert it to 8 bits",
        )
    return ImageHeader(
        format="TIFF",
        width=int(tags[_TIFF_WIDTH]),
        height=int(tags[_TIFF_HEIGHT]),
        bits=16 if is_16_bit else 8,
        is_inverted=is_16_bit and photometric == 0,
        is_transparent=is_16_bit and samples == 4,
        has_more_frames=tags.next != 0,
    )
