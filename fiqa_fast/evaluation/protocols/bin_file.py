"""The `.bin` files of face verification sets: lfw.bin, cfp_fp.bin, agedb_30.bin and others.

A pickle of (images, labels): 2 N encoded aligned crops, and N times whether the crops 2 i and
2 i + 1 show the same person. InsightFace made the form; most were written by Python 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fiqa_fast.errors import ImageError, InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import BoolArray, Protocol
from fiqa_fast.evaluation.protocols.bin_pickle import PlainArray, read_plain_pickle
from fiqa_fast.evaluation.protocols.checks import check_protocol
from fiqa_fast.images.header import read_header


def read_bin(path: str | Path, *, name: str | None = None) -> Protocol:
    """Reads a `.bin` file. Code in it is never run.

    Images with the same bytes are one sample, which is named after the position of the first:
    "lfw/00012". All sources are in memory, as encoded as they are in the file.

    Args:
        path: the file.
        name: of the data set; None: the file's name.

    Raises:
        InvalidArgumentError: it cannot be read, asks for code, is damaged, or has another
            structure; or the comparisons make no sense.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(
            f"protocol: expected a readable .bin file, got {path} ({error.strerror}); check the"
            " path"
        ) from error
    try:
        images, mated = _images_and_labels(read_plain_pickle(content))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"protocol: {path}: {error}") from error
    positions: dict[bytes, int] = {}
    first: list[int] = []
    numbers = np.empty(len(images), np.int32)
    for i, image in enumerate(images):
        numbers[i] = positions.setdefault(image, len(positions))
        if len(first) < len(positions):
            first.append(i)
            _check_image(image, f"{path}, image {i}")
    return check_protocol(
        Protocol(
            name=name or path.stem,
            samples=tuple(f"{path.stem}/{i:05d}" for i in first),
            sources=tuple(positions),
            aligned=True,
            identity=None,
            sample_a=numbers[0::2].copy(),
            sample_b=numbers[1::2].copy(),
            mated=mated,
        )
    )


def _images_and_labels(content: object) -> tuple[list[bytes], BoolArray]:
    if not (isinstance(content, tuple | list) and len(content) == 2):
        raise InvalidArgumentError(
            f"expected (images, labels), got a {type(content).__name__} of"
            f" {len(content) if isinstance(content, tuple | list) else 'another kind'}; give a"
            " .bin file of a verification set"
        )
    images, labels = content
    if not isinstance(images, list | tuple):
        raise InvalidArgumentError(
            f"expected a list of images, got {_kind(images)}; give a .bin file of a verification"
            " set"
        )
    mated = _labels(labels)
    if len(images) != 2 * len(mated):
        raise InvalidArgumentError(
            f"expected two images for each label, got {len(images)} images and {len(mated)} labels;"
            " get the file again"
        )
    return [_encoded(image, i) for i, image in enumerate(images)], mated


def _encoded(image: object, position: int) -> bytes:
    if isinstance(image, bytes | bytearray):
        return bytes(image)
    if isinstance(image, PlainArray) and image.kind == "u1" and len(image.shape) == 1:
        return image.content
    raise InvalidArgumentError(
        "expected every image as the bytes of an image file (bytes, or uint8 [n]), got"
        f" {_kind(image)} at position {position}; encode it as JPEG or PNG"
    )


def _labels(labels: object) -> BoolArray:
    if isinstance(labels, PlainArray) and labels.kind == "b1" and len(labels.shape) == 1:
        return np.frombuffer(labels.content, np.uint8).astype(np.bool_)
    wrong: Sequence[object] = [labels]
    if isinstance(labels, list | tuple):
        wrong = [label for label in labels if type(label) is not bool]
    if wrong:
        raise InvalidArgumentError(
            f"expected labels that are True or False, got {_kind(wrong[0])}; write them as bool"
        )
    return np.array(labels, np.bool_)


def _check_image(image: bytes, where: str) -> None:
    try:
        if not image:
            raise InvalidArgumentError(
                f"protocol: {where}: expected an encoded image, got no bytes; get the file again"
            )
        read_header(image, where)
    except ImageError as error:
        raise InvalidArgumentError(f"protocol: {error}") from error


def _kind(value: object) -> str:
    if isinstance(value, PlainArray):
        return f"an array {value.kind} {list(value.shape)}"
    return f"{type(value).__name__} {value!r}"[:60] if type(value) is int else type(value).__name__
