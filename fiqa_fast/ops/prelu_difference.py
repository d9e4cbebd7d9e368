"""How a small difference passes through BatchNorm and PReLU, without losing digits, and back."""

from __future__ import annotations

import torch
from torch import Tensor

from fiqa_fast import _extension
from fiqa_fast.ops.fused import NONE, outputs_are_arguments, per_channel


def prelu_difference(
    d: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    slope: Tensor,
    *,
    out: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Returns f(z + d) - f(z) with z = scale * x + shift and f = PReLU.

    FaceQAN's noise lies below the resolution of bf16, its effect relative to itself does not: only
    the difference to the unperturbed image travels through the network. Where z and z + d have the
    same sign, which is nearly everywhere, the result is d or slope * d and nothing cancels.

    Args:
        d: [N * k, C, H, W] in channels_last memory, the k copies of an image one after the other;
            float32, float16, bfloat16 or float64. 8 divides C.
        x: [N, C, H, W], input of the BatchNorm layer for the unperturbed images.
        scale: [C], float32 (float64 for a float64 x), as all statistics.
        shift: [C].
        slope: [C], of negative values.
        out: like d, takes the result; may be d. None: a new tensor.
        mask: uint8 with one bit for each element of d, for `prelu_difference_backward`.

    Returns:
        `out`.

    Raises:
        RuntimeError: a wrong shape, dtype or memory format; the message says which argument.
    """
    out = torch.empty_like(d) if out is None else out
    mask = NONE if mask is None else mask
    if _extension.is_available():
        torch.ops.fiqa_fast.prelu_difference(d, x, scale, shift, slope, out, mask)
    else:
        prelu_difference_reference(d, x, scale, shift, slope, out, mask)
    return out


def prelu_difference_backward(
    grad: Tensor, mask: Tensor, slope: Tensor, *, out: Tensor | None = None
) -> Tensor:
    """The gradient at d of `prelu_difference`: grad where the mask is set, else slope * grad.

    Args:
        grad: like d, the gradient at the output.
        mask: what `prelu_difference` wrote.
        slope: [C].
        out: like grad, takes the result; may be grad. None: a new tensor.

    Returns:
        `out`.

    Raises:
        RuntimeError: a wrong shape, dtype or memory format; the message says which argument.
    """
    out = torch.empty_like(grad) if out is None else out
    if _extension.is_available():
        torch.ops.fiqa_fast.prelu_difference_backward(grad, mask, slope, out)
    else:
        prelu_difference_backward_reference(grad, mask, slope, out)
    return out


def prelu_difference_reference(
    d: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    slope: Tensor,
    out: Tensor,
    mask: Tensor,
) -> None:
    """The plain twin of the operator; an empty mask stands for "none"."""
    copies = len(d) // max(len(x), 1)
    z = per_channel(scale) * x.to(scale.dtype) + per_channel(shift)
    z, delta = z.repeat_interleave(copies, 0), d.to(scale.dtype)
    moved, a = z + delta, per_channel(slope)
    crossed = torch.where(moved > 0, moved, a * moved) - torch.where(z > 0, z, a * z)
    straight = torch.where(moved > 0, delta, a * delta)
    out.copy_(torch.where((moved > 0) == (z > 0), straight, crossed))
    if mask.numel():
        bits = (moved > 0).permute(0, 2, 3, 1).reshape(-1, 8).to(torch.uint8)
        places = 2 ** torch.arange(8, dtype=torch.uint8, device=d.device)
        mask.copy_((bits * places).sum(1, dtype=torch.uint8).reshape(mask.shape))


def prelu_difference_backward_reference(
    grad: Tensor, mask: Tensor, slope: Tensor, out: Tensor
) -> None:
    """The plain twin of the operator."""
    n, c, h, w = grad.shape
    places = 2 ** torch.arange(8, dtype=torch.uint8, device=grad.device)
    bits = (mask.reshape(-1, 1) & places) > 0
    passes = bits.reshape(n, h, w, c).permute(0, 3, 1, 2)
    g = grad.to(slope.dtype)
    out.copy_(torch.where(passes, g, per_channel(slope) * g))


if _extension.is_available():
    torch.library.register_fake("fiqa_fast::prelu_difference", outputs_are_arguments)
    torch.library.register_fake("fiqa_fast::prelu_difference_backward", outputs_are_arguments)
