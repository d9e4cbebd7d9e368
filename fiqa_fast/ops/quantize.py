"""BatchNorm in inference, PReLU, and the step to 8-bit integers in one pass over the activation."""

from __future__ import annotations

import torch
from torch import Tensor

from fiqa_fast import _extension
from fiqa_fast.ops.fused import NONE, outputs_are_arguments, per_channel

QUANTIZED_ZERO = 128
"""The integer that stands for 0."""


def quantize(
    x: Tensor,
    scale: Tensor,
    shift: Tensor | None = None,
    slope: Tensor | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Returns 128 + PReLU(scale * x + shift), rounded, as uint8.

    PReLU lets a positive factor through, so that the reciprocal of a channel's step belongs into
    scale and shift. What lies outside 0..255 becomes the nearest bound; NaN, which has no integer,
    becomes 128, as if it were 0. On CPUs only.

    Args:
        x: [N, C, H, W] in channels_last memory; float32, float16, bfloat16 or float64.
        scale: [C], float32 (float64 for a float64 x).
        shift: [C]; None: 0.
        slope: [C], of negative values; None: no activation.
        out: uint8, of the shape and memory of x, takes the result. None: a new tensor.

    Returns:
        `out`.

    Raises:
        RuntimeError: a wrong shape, dtype or memory format; the message says which argument.
    """
    out = torch.empty_like(x, dtype=torch.uint8) if out is None else out
    shift, slope = NONE if shift is None else shift, NONE if slope is None else slope
    if _extension.is_available():
        torch.ops.fiqa_fast.quantize(x, scale, shift, slope, out)
    else:
        quantize_reference(x, scale, shift, slope, out)
    return out


def quantize_reference(x: Tensor, scale: Tensor, shift: Tensor, slope: Tensor, out: Tensor) -> None:
    """The plain twin of the operator; empty tensors stand for "none"."""
    z = per_channel(scale) * x.to(scale.dtype)
    z = z + per_channel(shift) if shift.numel() else z
    z = torch.where(z > 0, z, per_channel(slope) * z) if slope.numel() else z
    z = z.nan_to_num(0, torch.inf, -torch.inf).clamp(-QUANTIZED_ZERO, 255 - QUANTIZED_ZERO)
    out.copy_(z.round() + QUANTIZED_ZERO)


if _extension.is_available():
    torch.library.register_fake("fiqa_fast::quantize", outputs_are_arguments)
