"""Embeddings as of a face data set: persons whose images differ in a few strong directions.

Isotropic images alone would hardly give K-means anything to do.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 512
POSES = 16


def person_sizes(images: int, identities: int) -> NDArray[np.int64]:
    """Images of each identity, spread as in VGGFace2: from a quarter of the mean to twice it."""
    drawn = np.random.default_rng(0).gamma(12.0, size=identities)
    sizes = np.maximum(1, (drawn / drawn.sum() * images).astype(np.int64))
    sizes[: images - sizes.sum()] += 1  # rounding lost less than one for each
    return sizes


def person_blocks(sizes: NDArray[np.int64]) -> Iterator[NDArray[np.float16]]:
    """The embeddings of one identity after the other, float16 [n, 512]."""
    rng = np.random.default_rng(1)
    directions = rng.standard_normal((POSES, DIMENSIONS), dtype=np.float32)
    directions *= np.linspace(1.0, 0.2, POSES, dtype=np.float32)[:, None] * np.float32(0.35)
    for size in sizes:
        centre = rng.standard_normal(DIMENSIONS, dtype=np.float32)
        poses = rng.standard_normal((size, POSES), dtype=np.float32) @ directions
        noise = rng.standard_normal((size, DIMENSIONS), dtype=np.float32) * np.float32(0.5)
        yield (centre + poses + noise).astype(np.float16)


def qualities(images: int) -> NDArray[np.float64]:
    return np.random.default_rng(2).random(images)
