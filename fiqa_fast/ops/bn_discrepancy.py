"""Distance of an activation's statistics to those that a BatchNorm layer stored (GraFIQs)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from fiqa_fast import _extension
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.ops.layout import check_dtype, dense


class BnDiscrepancy(NamedTuple):
    """Per-sample statistics of one activation; float32, or float64 for a float64 activation.

    Attributes:
        mean: [N, C], over H and W.
        var: [N, C], biased variance over H and W.
        squared_error: [N], the sum over C of (mean - running_mean)^2 + (s - running_s)^2, where s
            is the variance or the standard deviation.
    """

    mean: Tensor
    var: Tensor
    squared_error: Tensor


def bn_discrepancy(
    x: Tensor, running_mean: Tensor, running_var: Tensor, *, use_std: bool = False
) -> BnDiscrepancy:
    """Measures, per sample, how far an activation is from what a BatchNorm layer saw in training.

    The building block of GraFIQs: its loss adds `squared_error` over all BatchNorm layers
    (arXiv 2404.12203, Eq. 4; the official code compares variances, the paper standard deviations).
    Differentiable once, in `x`.

    Args:
        x: [N, C, H, W], the *input* of the layer; float32, float16, bfloat16 or float64, any
            strides (contiguous and channels_last run without a copy). C, H and W are at least 1.
        running_mean: [C], any floating dtype.
        running_var: [C], any floating dtype.
        use_std: compare standard deviations instead of variances. A constant channel (standard
            deviation 0) then gets no gradient from the second term.

    Returns:
        The statistics of every sample, independent of the other samples in the batch.

    Raises:
        InvalidArgumentError: a wrong shape or dtype.

    Example:
        >>> x = torch.ones(2, 3, 4, 4)
        >>> bn_discrepancy(x, torch.zeros(3), torch.ones(3)).squared_error
        tensor([6., 6.])
    """
    check_dtype("bn_discrepancy", "x", x)
    if x.dim() != 4 or 0 in x.shape[1:]:
        raise InvalidArgumentError(
            "bn_discrepancy: expected x of shape [N, C, H, W] with C, H, W > 0,"
            f" got {list(x.shape)}; pass the activation in front of the BatchNorm layer"
        )
    for name, statistic in (("running_mean", running_mean), ("running_var", running_var)):
        if statistic.shape != x.shape[1:2]:
            raise InvalidArgumentError(
                f"bn_discrepancy: expected {name} of shape [{x.shape[1]}] to match x,"
                f" got {list(statistic.shape)}; pass the buffers of the layer that reads x"
            )
    dtype = _statistics_dtype(x)
    running_mean, running_var = running_mean.detach().to(dtype), running_var.detach().to(dtype)
    if not _extension.is_available():
        return bn_discrepancy_reference(x, running_mean, running_var, use_std)
    return BnDiscrepancy(
        *torch.ops.fiqa_fast.bn_discrepancy(
            dense(x), running_mean.contiguous(), running_var.contiguous(), use_std
        )
    )


def bn_discrepancy_reference(
    x: Tensor, running_mean: Tensor, running_var: Tensor, use_std: bool
) -> BnDiscrepancy:
    """The plain twin of the operator: what every kernel is compared with."""
    x = x.to(_statistics_dtype(x))
    var, mean = torch.var_mean(x, (2, 3), correction=0)
    if use_std:
        spread_error = x.std((2, 3), correction=0) - running_var.sqrt()
    else:
        spread_error = var - running_var
    squared_error = ((mean - running_mean).square() + spread_error.square()).sum(1)
    return BnDiscrepancy(mean, var, squared_error)


def bn_discrepancy_backward_reference(
    x: Tensor, mean: Tensor, alpha: Tensor, beta: Tensor
) -> Tensor:
    """The plain twin of the gradient operator: alpha + beta (x - mean), with [N, C] statistics."""
    mean, alpha, beta = (t[:, :, None, None] for t in (mean, alpha, beta))
    return (alpha + beta * (x.to(mean.dtype) - mean)).to(x.dtype)


def _statistics_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, running_mean, running_var, use_std = inputs
    mean, var, _ = output
    ctx.save_for_backward(x, mean, var, running_mean, running_var)
    ctx.use_std = use_std


def _backward(
    ctx: Any, grad_mean: Tensor, grad_var: Tensor, grad_error: Tensor
) -> tuple[Tensor, None, None, None]:
    x, mean, var, running_mean, running_var = ctx.saved_tensors
    # d mean / dx = 1 / HW and d var / dx = 2 (x - mean) / HW, so that the gradient is
    # alpha + beta (x - mean) with two numbers for each sample and channel.
    pixels = x.shape[2] * x.shape[3]
    grad_error = grad_error[:, None]
    if ctx.use_std:
        std = var.sqrt()
        error_slope = torch.where(std > 0, (std - running_var.sqrt()) / std, 0.0)
    else:
        error_slope = 2 * (var - running_var)
    alpha = (grad_mean + 2 * grad_error * (mean - running_mean)) / pixels
    beta = 2 * (grad_var + grad_error * error_slope) / pixels
    grad_x = torch.ops.fiqa_fast.bn_discrepancy_backward(
        x, mean, alpha.contiguous(), beta.contiguous()
    )
    return grad_x, None, None, None


def _fake(
    x: Tensor, running_mean: Tensor, running_var: Tensor, use_std: bool
) -> tuple[Tensor, Tensor, Tensor]:
    n, c = x.shape[:2]
    dtype = _statistics_dtype(x)
    return (
        x.new_empty((n, c), dtype=dtype),
        x.new_empty((n, c), dtype=dtype),
        x.new_empty((n,), dtype=dtype),
    )


def _backward_fake(x: Tensor, mean: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return torch.empty_like(x)


if _extension.is_available():
    torch.library.register_fake("fiqa_fast::bn_discrepancy", _fake)
    torch.library.register_fake("fiqa_fast::bn_discrepancy_backward", _backward_fake)
    torch.library.register_autograd(
        "fiqa_fast::bn_discrepancy", _backward, setup_context=_setup_context
    )
