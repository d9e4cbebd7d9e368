"""The one form in which every scorer gets its crops."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import UInt8Array

Crops = Tensor | UInt8Array
"""Aligned faces, uint8 RGB: torch [B, 3, 112, 112] or numpy [B, 112, 112, 3]."""


def as_crop_tensor(crops: Crops, size_px: int) -> Tensor:
    """Brings crops into the form uint8 [B, 3, S, S], contiguous.

    Networks add in another order for another memory layout, so there is one for all.

    Raises:
        InvalidArgumentError: anything but uint8 torch [B, 3, S, S] or numpy [B, S, S, 3].
    """
    if isinstance(crops, np.ndarray):
        expected, shape = f"numpy [B, {size_px}, {size_px}, 3]", list(crops.shape)
        fits = crops.ndim == 4 and shape[1:] == [size_px, size_px, 3]
        dtype_fits = crops.dtype == np.uint8
    elif isinstance(crops, Tensor):
        expected, shape = f"torch [B, 3, {size_px}, {size_px}]", list(crops.shape)
        fits = crops.dim() == 4 and shape[1:] == [3, size_px, size_px]
        dtype_fits = crops.dtype == torch.uint8
    else:
        raise InvalidArgumentError(
            "score: expected crops as a torch tensor or a numpy array,"
            f" got {type(crops).__name__}; stack the crops into one array"
        )
    if not fits:
        raise InvalidArgumentError(
            f"score: expected crops of shape {expected}, got {shape};"
            " align or resize the faces first (fiqa_fast.images), and add a batch dimension"
        )
    if not dtype_fits:
        raise InvalidArgumentError(
            f"score: expected crops of dtype uint8 (RGB, 0..255), got {crops.dtype};"
            " pass the pixels as they are: every scorer normalises by itself"
        )
    if isinstance(crops, np.ndarray):
        crops = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2)
    return crops.contiguous()
