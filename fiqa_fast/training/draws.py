"""Random draws of a training: they depend on the seed, the step and a position, on nothing else.

So an interrupted training goes on with the same numbers, and any number of processes draws the
same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.noise import Stream, UInt64Array, normal, uniform_on

_WORDS = 2**32
_RUN = 1024  # classes that share a key


def check_seed(seed: int) -> None:
    """Raises InvalidArgumentError where no draws are keyed by a seed."""
    if not 0 <= seed < 2**63:
        raise InvalidArgumentError(
            f"train: expected seed from 0 to 2**63 - 1, got {seed}; choose another"
        )


def normal_of_classes(seed: int, first: int, last: int, count: int) -> Tensor:
    """Standard normal numbers, float32 [last - first, count], of the classes from `first` on."""
    classes = np.arange(first, last, dtype=np.uint64)
    return normal(seed, Stream.CLASS_WEIGHTS, classes, count)


def normal_of_positions(seed: int, step: int, count: int) -> Tensor:
    """A standard normal number for each position in the batch of a step, float32 [count]."""
    keys = _keys(step, np.arange(count, dtype=np.uint64))
    return normal(seed, Stream.ELASTIC_MARGINS, keys, 1)[:, 0]


def uniform_of_classes(seed: int, step: int, first: int, last: int, device: torch.device) -> Tensor:
    """A uniform number for each class from `first` on at a step, float32 [last - first]."""
    runs = np.arange(first // _RUN, -(-last // _RUN), dtype=np.uint64)
    numbers = uniform_on(device, seed, Stream.SAMPLED_CLASSES, _keys(step, runs), _RUN).flatten()
    skipped = first % _RUN
    return numbers[skipped : skipped + last - first]


def _keys(step: int, positions: UInt64Array) -> UInt64Array:
    if not 0 <= step < _WORDS:
        raise InvalidArgumentError(
            f"train: expected step from 0 to 2**32 - 1, got {step}; count the steps of this"
            " training"
        )
    return np.uint64(step * _WORDS) | positions
