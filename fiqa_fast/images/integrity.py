"""Finds truncated files that a decoder would accept in silence."""

from __future__ import annotations

import re
import struct
import zlib

from fiqa_fast.errors import ImageError
from fiqa_fast.images.header import ImageFormat
from fiqa_fast.types import FailureReason

# In compressed JPEG data a 0xff that is no marker is followed by 0x00, a restart marker by d0..d7;
# 0xff repeated is padding.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_JPEG_END = b"\xff\xd9"
_PNG_SIGNATURE_BYTES = 8


def check_complete(image_format: ImageFormat, data: bytes, path: str) -> None:
    """Refuses a truncated JPEG or PNG before it is decoded.

    A JPEG must have its end marker (decoders may fill what is missing with grey); a PNG all its
    chunks, with the right checksums. Bytes behind the end are allowed: cameras put previews and
    films there. The other formats need no such check, their decoders notice. Measured on a
    photograph of 12 megapixels: JPEG 0.5 us when the end marker is where it should be and 0.4 ms
    when it has to be searched (decoding: 50 ms); PNG 3 ms (decoding: 190 ms).

    Raises:
        ImageError: `corrupt_image`.
    """
    if image_format == "JPEG" and not _jpeg_has_end(data):
        problem = "the JPEG ends before its end marker"
    elif image_format == "PNG" and (png_problem := _png_problem(data)):
        problem = png_problem
    else:
        return
    raise ImageError(
        FailureReason.CORRUPT_IMAGE, f"{path}: {problem}: the file is truncated or damaged"
    )


def _jpeg_has_end(data: bytes) -> bool:
    if data.endswith(_JPEG_END):
        return True
    # Walk the segments: the end marker of a thumbnail inside an EXIF segment does not count.
    position = 2
    while (marker := _NEXT_MARKER.search(data, position)) is not None:
        position = marker.end()
        if marker.group() == _JPEG_END:
            return True
        length_field = data[position : position + 2]
        if len(length_field) < 2:
            return False
        position += struct.unpack(">H", length_field)[0]
    return False


def _png_problem(data: bytes) -> str:
    position = _PNG_SIGNATURE_BYTES
    view = memoryview(data)
    while True:
        if position + 12 > len(data):
            return "the PNG ends before its last chunk"
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            return "the PNG ends within a chunk"
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[position + 4 : end - 4]) != checksum:
            return "the checksum of a PNG chunk is wrong"
        if data[position + 4 : position + 8] == b"IEND":
            return ""
        position = end
