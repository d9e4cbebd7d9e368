"""What the Python faces of the fused operators share."""

from __future__ import annotations

import torch
from torch import Tensor

NONE = torch.empty(0)
"""Stands for an argument that is left out, in the compiled operators."""


def per_channel(statistic: Tensor) -> Tensor:
    """[C] -> [C, 1, 1], to meet [N, C, H, W]."""
    return statistic[:, None, None]


def write_moments(x: Tensor, moments: Tensor) -> None:
    """Writes mean and biased variance of x [N, C, H, W] into moments [2, N, C], unless empty."""
    if moments.numel():
        var, mean = torch.var_mean(x.to(moments.dtype), (2, 3), correction=0)
        moments.copy_(torch.stack([mean, var]))


def sum_magnitudes(x: Tensor, abs_sum: Tensor) -> None:
    """Writes the sum of |x| of each sample into abs_sum [N], unless empty."""
    if abs_sum.numel():
        abs_sum.copy_(x.to(torch.float64).abs().sum((1, 2, 3)))


def outputs_are_arguments(*arguments: Tensor | float) -> None:
    """The fake of every operator that returns nothing: its outputs are arguments, made before."""
