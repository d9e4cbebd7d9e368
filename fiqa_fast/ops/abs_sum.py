"""Per-sample sum of absolute values: how GraFIQs turns a gradient into a score."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fiqa_fast import _extension
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.ops.layout import check_dtype, dense


def abs_sum(x: Tensor) -> Tensor:
    """Sums |x| over everything but the first dimension.

    The magnitude of a gradient in GraFIQs (arXiv 2404.12203, Eq. 5). Sums are kept in higher
    precision than the elements; a sample's sum does not depend on its batch. Differentiable once.

    Args:
        x: [N, ...], float32, float16, bfloat16 or float64, any strides.

    Returns:
        [N], float32 (float64 for a float64 x).

    Raises:
        InvalidArgumentError: a scalar, or a wrong dtype.

    Example:
        >>> abs_sum(torch.tensor([[1.0, -2.0], [0.5, 0.0]]))
        tensor([3.0000, 0.5000])
    """
    check_dtype("abs_sum", "x", x)
    if x.dim() == 0:
        raise InvalidArgumentError(
            "abs_sum: expected x of shape [N, ...], got a scalar; add a batch dimension"
        )
    if not _extension.is_available():
        return abs_sum_reference(x)
    sums: Tensor = torch.ops.fiqa_fast.abs_sum(dense(x))
    return sums


def abs_sum_reference(x: Tensor) -> Tensor:
    """The plain twin of the operator."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return x.to(torch.float64).abs().unsqueeze(-1).flatten(1).sum(1).to(dtype)


def _setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])


def _backward(ctx: Any, grad_sum: Tensor) -> Tensor:
    (x,) = ctx.saved_tensors
    return torch.sign(x) * grad_sum.to(x.dtype).reshape(-1, *[1] * (x.dim() - 1))


def _fake(x: Tensor) -> Tensor:
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return x.new_empty((x.shape[0],), dtype=dtype)


if _extension.is_available():
    torch.library.register_fake("fiqa_fast::abs_sum", _fake)
    torch.library.register_autograd("fiqa_fast::abs_sum", _backward, setup_context=_setup_context)
