"""BatchNorm layers in inference: a scale and a shift, and a place in the table of statistics."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class FusedBatchNorm:
    """One BatchNorm2d layer of a fused network.

    Args:
        bn: the layer.
        dtype: of statistics, float32 or float64.
        first_column: of its channels in the network's `StatisticsTable`.

    Attributes:
        scale: [C]; the layer computes scale * x + shift.
        shift: [C].
        columns: its channels in the table.
    """

    def __init__(self, bn: nn.BatchNorm2d, dtype: torch.dtype, first_column: int) -> None:
        self.running_mean = cast("Tensor", bn.running_mean).detach().to(dtype)
        self.running_var = cast("Tensor", bn.running_var).detach().to(dtype)
        self.scale = bn.weight.detach().to(dtype) / torch.sqrt(self.running_var + bn.eps)
        self.shift = bn.bias.detach().to(dtype) - self.running_mean * self.scale
        self.columns = slice(first_column, first_column + len(self.scale))

    @property
    def affine(self) -> tuple[Tensor, Tensor]:
        """Scale and shift."""
        return self.scale, self.shift
