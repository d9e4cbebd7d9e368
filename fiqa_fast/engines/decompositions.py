"""What a trace replaces by simpler operators: this package's own, and gradients of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fiqa_fast import _extension
from fiqa_fast.ops.bn_discrepancy import (
    bn_discrepancy_backward_reference,
    bn_discrepancy_reference,
)
from fiqa_fast.ops.sign_step import sign_step_reference

Table = dict[Any, Callable[..., Any]]


def decompositions() -> Table:
    """For each operator that engines do not know, what computes the same."""
    from torch._decomp import core_aten_decompositions  # seconds to import

    aten, table = torch.ops.aten, dict(core_aten_decompositions())
    # Engines have PReLU; its parts would be three passes over the activation.
    table.pop(aten._prelu_kernel.default, None)
    table[aten._prelu_kernel_backward.default] = _prelu_backward
    table[aten.convolution_backward.default] = _convolution_backward
    if _extension.is_available():  # else the references run anyway
        own = torch.ops.fiqa_fast
        table[own.bn_discrepancy.default] = bn_discrepancy_reference
        table[own.bn_discrepancy_backward.default] = bn_discrepancy_backward_reference
        table[own.abs_sum.default] = _abs_sum
        table[own.sign_step.default] = sign_step_reference
    return table


def _abs_sum(x: Tensor) -> Tensor:
    """Without the float64 of the reference, which engines do not have."""
    return x.float().abs().flatten(1).sum(1)


def _prelu_backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, None]:
    """For the input only."""
    return torch.where(x > 0, grad, grad * weight), None


def _convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor, None, None]:
    """For the input only: parameters never require gradients.

    With stride 1 it is a plain convolution with turned weights, else a transposed one.
    """
    kernel, axes = weight.shape[2:], range(2)
    if all(s == 1 for s in stride):
        turned = weight.flip(2, 3)
        if groups > 1:
            c_out, c_in = weight.shape[:2]
            turned = turned.reshape(groups, c_out // groups, c_in, *kernel).transpose(1, 2)
            turned = turned.reshape(groups * c_in, c_out // groups, *kernel)
        else:
            turned = turned.transpose(0, 1)
        margin = [dilation[a] * (kernel[a] - 1) - padding[a] for a in axes]
        return (
            torch.ops.aten.convolution(
                grad, turned.contiguous(), None, stride, margin, dilation, False, [0, 0], groups
            ),
            None,
            None,
        )
    rest = [
        int(x.shape[2 + a])
        - ((grad.shape[2 + a] - 1) * stride[a] - 2 * padding[a] + dilation[a] * (kernel[a] - 1) + 1)
        for a in axes
    ]
    # Weights of its own: OpenVINO 2026.4 computes wrong numbers in float32 where a convolution and
    # a transposed one share them. The factors are exact.
    return (
        torch.ops.aten.convolution(
            grad * 0.5, weight * 2, None, stride, padding, dilation, True, rest, groups
        ),
        None,
        None,
    )
