"""Dropout whose masks belong to the sample, not to its place in a batch or to a process."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_MULTIPLIER = 0x9E3779B97F4A7C15  # of Knuth's multiplicative hash, 2^64 over the golden ratio


def drop_out(features: Tensor, probability: float, keys: Sequence[int]) -> Tensor:
    """Sets each number to 0 with a probability, and scales the others up.

    Args:
        features: [B, F].
        probability: 0 <= p < 1.
        keys: B numbers: the same key gives the same mask, in any batch.

    Returns:
        [B, F], kept values divided by 1 - p.
    """
    if not probability:
        return features
    generator = torch.Generator(device=features.device)
    mask = torch.empty_like(features)
    for row, key in zip(mask, keys, strict=True):
        generator.manual_seed(key)
        row.bernoulli_(1 - probability, generator=generator)
    return features * mask / (1 - probability)


def mask_keys(seed: int, step: int, positions: Tensor) -> list[int]:
    """A key for each sample of a step: 0 <= key < 2^63.

    Args:
        seed: of the training.
        step: from 0.
        positions: integers [B]: of the samples in their set.
    """
    start = (seed * _MULTIPLIER + step) * _MULTIPLIER
    return [((start + position) * _MULTIPLIER % 2**64) >> 1 for position in positions.tolist()]
