"""From the bytes of an image file to one aligned face, as a folder of files is scored locally."""

from __future__ import annotations

from dataclasses import replace

from fiqa_fast.errors import ImageError
from fiqa_fast.images.decode import decode_bytes
from fiqa_fast.pipeline import FaceFinder
from fiqa_fast.types import AlignedFace, FailedImage, FailureReason

PLACEHOLDER = "<bytes>"
"""Stands in messages where a path would, since a server does not know it."""


def find_face(finder: FaceFinder, data: bytes) -> AlignedFace | FailedImage:
    """Finds one face.

    Args:
        finder: with a policy that takes one face at most.
        data: an encoded image file.

    Returns:
        What `FaceFinder.find` gives for the file: the same crop, note, reason and message.
    """
    try:
        image = decode_bytes(data, path=PLACEHOLDER, max_megapixels=finder.max_megapixels)
    except ImageError as error:
        return FailedImage(PLACEHOLDER, error.reason, str(error))
    except Exception as error:  # one image never ends a batch
        message = f"{type(error).__name__}: {error}"
        return FailedImage(PLACEHOLDER, FailureReason.INTERNAL_ERROR, message)
    found = finder.find(image.pixels)
    if isinstance(found, FailedImage):
        is_noted = image.note and found.reason is FailureReason.NO_FACE
        message = f"{found.message} ({image.note})" if is_noted else found.message
        return FailedImage(PLACEHOLDER, found.reason, message)
    (face,) = found
    return replace(face, path=PLACEHOLDER, note=", ".join(filter(None, (image.note, face.note))))
