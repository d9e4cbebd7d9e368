"""Brings crops into a network's size inside a graph, as `InputSpec.fitted` does it outside.

To the bit, but for networks with an alignment of their own, where one pixel in ten thousand is one
grey level away.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fiqa_fast.backbones.input import InputSpec, Similarity
from fiqa_fast.types import CROP_SIZE_PX

_ONE = 2048
"""cv2.resize weighs uint8 pixels in whole 2048ths."""


def fitted(spec: InputSpec, crops: Tensor) -> Tensor:
    """Crops in the network's size.

    Args:
        spec: what the network sees.
        crops: uint8 [B, 112, 112, 3], RGB.

    Returns:
        [B, 3, height_px, width_px], RGB, whole numbers 0..255: uint8, int32 or float32.
    """
    pixels = crops.permute(0, 3, 1, 2)
    if spec.fit == "none":
        return pixels
    if spec.fit == "centre":
        top = (CROP_SIZE_PX - spec.height_px) // 2
        left = (CROP_SIZE_PX - spec.width_px) // 2
        return pixels[:, :, top : top + spec.height_px, left : left + spec.width_px]
    if spec.fit == "resize":
        return _resized(pixels, spec.height_px, spec.width_px)
    return _moved(pixels, spec.fit, spec.height_px, spec.width_px)


def _resized(pixels: Tensor, height: int, width: int) -> Tensor:
    """As cv2.resize computes it for uint8: columns exactly, then rows with digits cut off."""
    x = _sources(width)
    inner = (x >= 0) & (x < CROP_SIZE_PX - 1)  # at the sides one pixel has all the weight
    first, second = _neighbours(x, pixels.to(torch.int32), 3)
    weight = torch.where(inner, x - x.floor(), 0.0)
    right = (weight * _ONE).round().to(torch.int32)
    left = ((1 - weight) * _ONE).round().to(torch.int32)
    columns = first * left + second * right  # [B, 3, 112, width]

    y = _sources(height)
    upper, lower = _neighbours(y, torch.div(columns, 16, rounding_mode="trunc"), 2)
    weight = y - y.floor()
    bottom = (weight * _ONE).round().to(torch.int32)[:, None]
    top = ((1 - weight) * _ONE).round().to(torch.int32)[:, None]
    rows = torch.div(upper * top, 65536, rounding_mode="trunc")
    rows = rows + torch.div(lower * bottom, 65536, rounding_mode="trunc")
    return torch.div(rows + 2, 4, rounding_mode="trunc")


def _moved(pixels: Tensor, to_input: Similarity, height: int, width: int) -> Tensor:
    """As cv2.warpAffine: bilinear in floating point, black outside, rounded."""
    x = (torch.arange(width, dtype=torch.float64) - to_input.x_px) / to_input.scale
    y = (torch.arange(height, dtype=torch.float64) - to_input.y_px) / to_input.scale
    moved = pixels.to(torch.float32)
    for at, dim in ((x, 3), (y, 2)):
        first, second = _neighbours(at, moved, dim)
        weight = (at - at.floor()).float()
        before = torch.where(_inside(at.floor()), 1 - weight, 0.0)
        behind = torch.where(_inside(at.floor() + 1), weight, 0.0)
        if dim == 2:
            before, behind = before[:, None], behind[:, None]
        moved = first * before + second * behind
    return moved.round()


def _sources(size: int) -> Tensor:
    """Where in the crop the middle of each pixel of a resized one lies: float32 [size]."""
    scale = CROP_SIZE_PX / size
    return ((torch.arange(size, dtype=torch.float64) + 0.5) * scale - 0.5).float()


def _neighbours(at: Tensor, pixels: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The pixels in front of and behind positions along a dimension; at the sides the last one."""
    before = at.floor().long()
    indices = [i.clamp(0, CROP_SIZE_PX - 1) for i in (before, before + 1)]
    first, second = (pixels.index_select(dim, i) for i in indices)
    return first, second


def _inside(index: Tensor) -> Tensor:
    return (index >= 0) & (index < CROP_SIZE_PX)
