"""BatchNorm in inference and PReLU in one pass over the activation, and the pass back."""

from __future__ import annotations

import torch
from torch import Tensor

from fiqa_fast import _extension
from fiqa_fast.ops.fused import (
    NONE,
    outputs_are_arguments,
    per_channel,
    sum_magnitudes,
    write_moments,
)


def bn_prelu(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    slope: Tensor | None = None,
    *,
    out: Tensor | None = None,
    moments: Tensor | None = None,
) -> Tensor:
    """Returns PReLU(scale * x + shift), and gathers the moments of x on the way.

    Args:
        x: [N, C, H, W] in channels_last memory; float32, float16, bfloat16 or float64.
        scale: [C], float32 (float64 for a float64 x), as all statistics.
        shift: [C].
        slope: [C], of negative values; None: no activation.
        out: like x, takes the result; may be x. None: a new tensor.
        moments: [2, N, C], may be a slice of a wider buffer with adjacent channels; takes the mean
            and the biased variance of x over H and W.

    Returns:
        `out`.

    Raises:
        RuntimeError: a wrong shape, dtype or memory format; the message says which argument.
    """
    out = torch.empty_like(x) if out is None else out
    slope, moments = NONE if slope is None else slope, NONE if moments is None else moments
    if _extension.is_available():
        torch.ops.fiqa_fast.bn_prelu(x, scale, shift, slope, out, moments)
    else:
        bn_prelu_reference(x, scale, shift, slope, out, moments)
    return out


def bn_prelu_backward(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    slope: Tensor | None = None,
    *,
    terms: Tensor | None = None,
    out: Tensor | None = None,
    abs_sum: Tensor | None = None,
) -> Tensor:
    """The gradient at the input of `bn_prelu`, plus what a loss on the moments of x adds to it.

    Args:
        grad: like x, the gradient at the output.
        x: what `bn_prelu` took, [N, C, H, W] in channels_last memory.
        scale: [C].
        shift: [C].
        slope: [C], or None.
        terms: [2, N, C], numbers a and b for each sample and channel; a + b * x is added.
        out: like x, takes the result; may be grad. None: a new tensor.
        abs_sum: [N], takes the sum of |grad| of each sample (GraFIQs, Eq. 5).

    Returns:
        `out`: scale * grad * (slope where scale * x + shift <= 0) + a + b * x.

    Raises:
        RuntimeError: a wrong shape, dtype or memory format; the message says which argument.
    """
    out = torch.empty_like(x) if out is None else out
    slope, terms = NONE if slope is None else slope, NONE if terms is None else terms
    abs_sum = NONE if abs_sum is None else abs_sum
    if _extension.is_available():
        torch.ops.fiqa_fast.bn_prelu_backward(grad, x, scale, shift, slope, terms, out, abs_sum)
    else:
        bn_prelu_backward_reference(grad, x, scale, shift, slope, terms, out, abs_sum)
    return out


def bn_prelu_reference(
    x: Tensor, scale: Tensor, shift: Tensor, slope: Tensor, out: Tensor, moments: Tensor
) -> None:
    """The plain twin of the operator; empty tensors stand for "none"."""
    write_moments(x, moments)
    z = per_channel(scale) * x.to(scale.dtype) + per_channel(shift)
    out.copy_(torch.where(z > 0, z, per_channel(slope) * z) if slope.numel() else z)


def bn_prelu_backward_reference(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    slope: Tensor,
    terms: Tensor,
    out: Tensor,
    abs_sum: Tensor,
) -> None:
    """The plain twin of the operator; empty tensors stand for "none"."""
    sum_magnitudes(grad, abs_sum)
    value, through = x.to(scale.dtype), grad.to(scale.dtype)
    if slope.numel():
        z = per_channel(scale) * value + per_channel(shift)
        through = torch.where(z > 0, through, per_channel(slope) * through)
    grad_x = per_channel(scale) * through
    if terms.numel():
        grad_x = grad_x + terms[0][:, :, None, None] + terms[1][:, :, None, None] * value
    out.copy_(grad_x)


if _extension.is_available():
    torch.library.register_fake("fiqa_fast::bn_prelu", outputs_are_arguments)
    torch.library.register_fake("fiqa_fast::bn_prelu_backward", outputs_are_arguments)
