"""Pooling layers as units of a network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fiqa_fast.backbones.layers.units import BatchNormObserver, Unit


class MaxPoolUnit(Unit):
    """The largest value of each 3x3 window, stride 2, no padding."""

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C, (H - 3) // 2 + 1, (W - 3) // 2 + 1]."""
        return F.max_pool2d(x, 3, 2)


class GlobalAverageUnit(Unit):
    """Each channel's mean."""

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C, 1, 1]."""
        return x.mean((2, 3), keepdim=True)
