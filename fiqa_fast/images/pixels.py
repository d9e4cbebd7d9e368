"""The one form in which pixels travel: uint8 [H, W, 3]."""

from __future__ import annotations

import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import UInt8Array


def check_pixels(what: str, pixels: UInt8Array) -> None:
    """Raises InvalidArgumentError unless `pixels` is uint8 [H, W, 3] with H, W >= 1."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise InvalidArgumentError(
            f"{what}: expected pixels of shape [H, W, 3] and dtype uint8 (RGB),"
            f" got {list(pixels.shape)} of {pixels.dtype}; convert the image first"
        )
