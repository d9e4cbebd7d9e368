"""From a sample's bytes to its crop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from fiqa_fast.errors import ImageError
from fiqa_fast.images.align import resize_crop
from fiqa_fast.images.decode import decode_bytes
from fiqa_fast.training.data.base import SkippedSample, TrainingSet
from fiqa_fast.types import CROP_SIZE_PX, FailureReason, UInt8Array
from fiqa_fast.work_ahead import work_ahead

OtherSizes = Literal["resize", "refuse"]
"""What to do about images that are not 112 x 112."""


def read_crop(
    training_set: TrainingSet, position: int, other_sizes: OtherSizes = "resize"
) -> UInt8Array:
    """Reads and decodes one sample.

    Args:
        training_set: where it is.
        position: of the sample, 0..S-1.
        other_sizes: see `OtherSizes`.

    Returns:
        uint8 [112, 112, 3], RGB.

    Raises:
        ImageError: it cannot be read or decoded, or has another size; the message names the set
            and the sample.
    """
    sample = f"{training_set.name}: {training_set.samples[position]}"
    try:
        image = decode_bytes(training_set.read(position), path=sample)
    except ImageError as error:
        message = str(error)
        if sample not in message:  # of the reader, which knows files and offsets
            message = f"{sample}: {message}"
        raise ImageError(error.reason, message) from error
    height, width = image.pixels.shape[:2]
    if other_sizes == "refuse" and (height, width) != (CROP_SIZE_PX, CROP_SIZE_PX):
        raise ImageError(
            FailureReason.NOT_AN_IMAGE,
            f"{sample}: expected a crop of {CROP_SIZE_PX} x {CROP_SIZE_PX} pixels, got {width} x"
            f" {height}; align the images first, or let them be resized",
        )
    return resize_crop(image).crop


def find_unreadable(
    training_set: TrainingSet,
    other_sizes: OtherSizes = "resize",
    *,
    positions: Sequence[int] | None = None,
    threads: int | None = None,
) -> Iterator[tuple[int, SkippedSample | None]]:
    """Decodes every sample once, to know before a training which ones it cannot have.

    Args:
        training_set: the samples.
        other_sizes: see `OtherSizes`.
        positions: of the samples to look at; None: all.
        threads: see `work_ahead`.

    Yields:
        Each position, in order, with why its sample cannot be used, or None.
    """

    def examine(position: int) -> tuple[int, SkippedSample | None]:
        try:
            read_crop(training_set, position, other_sizes)
        except ImageError as error:
            name = training_set.samples[position]
            return position, SkippedSample(name, error.reason, str(error))
        return position, None

    chosen = range(training_set.count) if positions is None else positions
    yield from work_ahead(examine, chosen, waiting=256, threads=threads)
