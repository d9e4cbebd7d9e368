"""Random changes of crops that depend on seed, epoch and position alone.

Neither threads nor processes nor the batch have a say, so that a resumed training and one on
another number of machines see the same pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.ladder.degradations import LEVELS, degrade
from fiqa_fast.noise import Stream, philox_4x32
from fiqa_fast.types import UInt8Array

_WORDS = 1 << 32


@dataclass(frozen=True)
class Augmentation:
    """What is done to crops, and how often.

    Attributes:
        flip_fraction: of the crops that are mirrored left to right.
        degraded_fraction: of the crops that are degraded.
        degradations: what may be done to those, all equally often: keys of
            `evaluation.ladder.degradations.LEVELS`.
        levels: how strongly, all equally often: 1 to 5.

    Raises:
        InvalidArgumentError: fractions outside 0..1, unknown degradations or levels, or none.
    """

    flip_fraction: float = 0.5
    degraded_fraction: float = 0.0
    degradations: tuple[str, ...] = tuple(LEVELS)
    levels: tuple[int, ...] = (1, 2, 3, 4, 5)

    def __post_init__(self) -> None:
        for argument in ("flip_fraction", "degraded_fraction"):
            value = getattr(self, argument)
            if not 0 <= value <= 1:
                raise InvalidArgumentError(
                    f"augmentation: expected {argument} from 0 to 1, got {value}; 0 is never"
                )
        unknown = [name for name in self.degradations if name not in LEVELS]
        if unknown or not self.degradations:
            raise InvalidArgumentError(
                f"augmentation: expected degradations among {', '.join(LEVELS)}, got"
                f" {', '.join(unknown) or 'none'}; name one or more"
            )
        if not self.levels or not set(self.levels) <= {1, 2, 3, 4, 5}:
            raise InvalidArgumentError(
                f"augmentation: expected levels from 1 to 5, got {self.levels}; name one or more"
            )

    def apply(
        self, crops: UInt8Array, positions: npt.NDArray[np.int64], *, seed: int, epoch: int
    ) -> None:
        """Changes crops in place; degradations come before the flip.

        Args:
            crops: uint8 [B, 112, 112, 3], RGB.
            positions: int64 [B]: of each in the training set.
            seed: of the training.
            epoch: from 0.
        """
        draws = _draw(positions, seed, epoch)
        # A fraction of 1 is every crop, since draws are below 2**32.
        flipped = draws[:, 0] < self.flip_fraction * _WORDS
        degraded = draws[:, 1] < self.degraded_fraction * _WORDS
        which = draws[:, 2] * np.uint64(len(self.degradations)) // np.uint64(_WORDS)
        level = draws[:, 3] * np.uint64(len(self.levels)) // np.uint64(_WORDS)
        for i in np.flatnonzero(degraded):
            crops[i] = degrade(
                crops[i],
                self.degradations[int(which[i])],
                self.levels[int(level[i])],
                photo=f"{seed}/{epoch}/{positions[i]}",
            )
        for i in np.flatnonzero(flipped):
            crops[i] = cv2.flip(crops[i], 1)  # a fifteenth of numpy's time


def _draw(positions: npt.NDArray[np.int64], seed: int, epoch: int) -> npt.NDArray[np.uint64]:
    """Four words of 32 bits for each position: uint64 [B, 4]."""
    counted = positions.astype(np.uint64)
    counter = (
        np.zeros_like(counted),
        np.full_like(counted, Stream.AUGMENTATION),
        np.full_like(counted, epoch),
        counted,
    )
    return np.stack(philox_4x32(counter, (seed & 0xFFFFFFFF, seed >> 32)), axis=-1)
