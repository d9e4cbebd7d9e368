"""The end of a residual unit and the BatchNorm behind it in one pass, and the pass back."""

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


def bn_add_bn(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    skip: Tensor,
    *,
    skip_bn: tuple[Tensor, Tensor] | None = None,
    next_bn: tuple[Tensor, Tensor] | None = None,
    out: Tensor | None = None,
    next_out: Tensor | None = None,
    x_moments: Tensor | None = None,
    skip_moments: Tensor | None = None,
    y_moments: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Adds a normalised branch to a skip connection, and normalises the sum for the next layer.

        y = scale * x + shift + (skip_scale * skip + skip_shift)
        next = next_scale * y + next_shift

    Args:
        x: [N, C, H, W] in channels_last memory; float32, float16, bfloat16 or float64.
        scale: [C], float32 (float64 for a float64 x), as all statistics.
        shift: [C].
        skip: like x.
        skip_bn: scale and shift of the skip connection; None: it is added as it is.
        next_bn: scale and shift of the BatchNorm layer behind; None: there is none.
        out: like x, takes y; may be x or skip. None: a new tensor.
        next_out: like x, takes the second result; may be x or skip. None: a new tensor.
        x_moments: [2, N, C], takes mean and biased variance of x; see `bn_prelu`.
        skip_moments: the same of skip.
        y_moments: the same of y.

    Returns:
        y, and next (None without `next_bn`).

    Raises:
        RuntimeError: a wrong shape, dtype or memory format; the message says which argument.
    """
    out = torch.empty_like(x) if out is None else out
    if next_bn is not None and next_out is None:
        next_out = torch.empty_like(x)
    skip_scale, skip_shift = (NONE, NONE) if skip_bn is None else skip_bn
    next_scale, next_shift = (NONE, NONE) if next_bn is None else next_bn
    arguments = (
        x, scale, shift, skip, skip_scale, skip_shift, next_scale, next_shift, out,
        NONE if next_out is None else next_out,
        NONE if x_moments is None else x_moments,
        NONE if skip_moments is None else skip_moments,
        NONE if y_moments is None else y_moments,
    )  # fmt: skip
    if _extension.is_available():
        torch.ops.fiqa_fast.bn_add_bn(*arguments)
    else:
        bn_add_bn_reference(*arguments)
    return out, next_out


def bn_add_bn_backward(
    grad: Tensor | None,
    other: Tensor | None,
    y: Tensor | None,
    y_terms: Tensor | None,
    *,
    total_out: Tensor,
    x: Tensor | None = None,
    scale: Tensor | None = None,
    x_terms: Tensor | None = None,
    grad_x_out: Tensor | None = None,
    abs_sum: Tensor | None = None,
) -> None:
    """Adds up the gradient at y, and takes it on to the branch.

        total = grad + other + y_a + y_b * y,  grad_x = scale * total + x_a + x_b * x

    Args:
        grad: [N, C, H, W] in channels_last memory, a part of the gradient at y; None: 0.
        other: another part; None: 0.
        y: the activation y of `bn_add_bn`; None where no loss reads its moments.
        y_terms: [2, N, C], what a loss on the moments of y adds; see `bn_prelu_backward`.
        total_out: takes `total`; may be grad or other.
        x: the activation x of `bn_add_bn`; None: no grad_x.
        scale: [C], with x.
        x_terms: [2, N, C]; None: 0.
        grad_x_out: takes `grad_x`; may be other.
        abs_sum: [N], takes the sum of |total| of each sample (GraFIQs, Eq. 5).

    Raises:
        RuntimeError: a wrong shape, dtype or memory format; the message says which argument.
    """
    arguments = tuple(
        NONE if argument is None else argument
        for argument in (
            grad, other, y, y_terms, x, scale, x_terms, total_out, grad_x_out, abs_sum,
        )
    )  # fmt: skip
    if _extension.is_available():
        torch.ops.fiqa_fast.bn_add_bn_backward(*arguments)
    else:
        bn_add_bn_backward_reference(*arguments)


def bn_add_bn_reference(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    skip: Tensor,
    skip_scale: Tensor,
    skip_shift: Tensor,
    next_scale: Tensor,
    next_shift: Tensor,
    y: Tensor,
    next_: Tensor,
    x_moments: Tensor,
    skip_moments: Tensor,
    y_moments: Tensor,
) -> None:
    """The plain twin of the operator; empty tensors stand for "none"."""
    write_moments(x, x_moments)
    write_moments(skip, skip_moments)
    total = per_channel(scale) * x.to(scale.dtype) + per_channel(shift)
    added = skip.to(scale.dtype)
    if skip_scale.numel():
        added = per_channel(skip_scale) * added + per_channel(skip_shift)
    total = total + added
    write_moments(total, y_moments)
    y.copy_(total)
    if next_scale.numel():
        next_.copy_(per_channel(next_scale) * total + per_channel(next_shift))


def bn_add_bn_backward_reference(
    grad: Tensor,
    other: Tensor,
    y: Tensor,
    y_terms: Tensor,
    x: Tensor,
    scale: Tensor,
    x_terms: Tensor,
    total_out: Tensor,
    grad_x_out: Tensor,
    abs_sum: Tensor,
) -> None:
    """The plain twin of the operator; empty tensors stand for "none"."""
    dtype = torch.float64 if total_out.dtype == torch.float64 else torch.float32
    total = torch.zeros_like(total_out, dtype=dtype)
    for part in (grad, other):
        if part.dim() == total.dim():
            total = total + part.to(dtype)
    total = total + _terms(y, y_terms, dtype)
    sum_magnitudes(total, abs_sum)
    if x.dim() == total.dim():
        grad_x = per_channel(scale) * total + _terms(x, x_terms, dtype)
        grad_x_out.copy_(grad_x)
    total_out.copy_(total)


def _terms(x: Tensor, terms: Tensor, dtype: torch.dtype) -> Tensor | float:
    if not terms.numel():
        return 0.0
    a, b = terms[:, :, :, None, None]
    added: Tensor = a + b * x.to(dtype)
    return added


if _extension.is_available():
    torch.library.register_fake("fiqa_fast::bn_add_bn", outputs_are_arguments)
    torch.library.register_fake("fiqa_fast::bn_add_bn_backward", outputs_are_arguments)
