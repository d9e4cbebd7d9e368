"""One clamped step along the sign of a gradient: the update of FaceQAN's attack."""

from __future__ import annotations

import torch
from torch import Tensor

from fiqa_fast import _extension
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.ops.layout import check_dtype, dense, in_layout_of


def sign_step(
    x: Tensor, grad: Tensor, *, step: float, low: float = -1.0, high: float = 1.0
) -> Tensor:
    """Returns clamp(x + step * sign(grad), low, high), with sign(0) = 0.

    The iteration of the basic iterative method that FaceQAN runs (CVPRW 2022, Eq. 3). NaN in `x` or
    `grad` stays NaN, so that a broken gradient is seen. Not differentiable.

    Args:
        x: any shape and strides; float32, float16, bfloat16 or float64.
        grad: shape and dtype of `x`.
        step: length of the step, in the units of `x`.
        low: lower bound of the result.
        high: upper bound of the result.

    Returns:
        A new tensor of the shape and dtype of `x`.

    Raises:
        InvalidArgumentError: shapes or dtypes differ, or low > high.

    Example:
        >>> sign_step(torch.tensor([0.5, -1.0]), torch.tensor([3.0, -2.0]), step=0.25)
        tensor([ 0.7500, -1.0000])
    """
    check_dtype("sign_step", "x", x)
    if grad.shape != x.shape or grad.dtype != x.dtype:
        raise InvalidArgumentError(
            f"sign_step: expected grad of shape {list(x.shape)} and dtype {x.dtype} like x,"
            f" got {list(grad.shape)} and {grad.dtype}; pass the gradient with respect to x"
        )
    if not low <= high:
        raise InvalidArgumentError(
            f"sign_step: expected low <= high, got low={low}, high={high}; swap the bounds"
        )
    x, grad = x.detach(), grad.detach()
    if not _extension.is_available():
        return sign_step_reference(x, grad, step, low, high)
    x = dense(x)
    moved: Tensor = torch.ops.fiqa_fast.sign_step(x, in_layout_of(grad, x), step, low, high)
    return moved


def sign_step_reference(x: Tensor, grad: Tensor, step: float, low: float, high: float) -> Tensor:
    """The plain twin of the operator; low precision is computed in float32 and rounded once."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    sign = torch.where(grad.isnan(), grad, grad.sign())  # torch's sign of NaN is 0
    return (x.to(dtype) + step * sign.to(dtype)).clamp(low, high).to(x.dtype)


def _fake(x: Tensor, grad: Tensor, step: float, low: float, high: float) -> Tensor:
    return torch.empty_like(x)


if _extension.is_available():
    torch.library.register_fake("fiqa_fast::sign_step", _fake)
