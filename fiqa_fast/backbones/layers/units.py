"""The pieces that networks are made of. Each shows its BatchNorm2d inputs to an observer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

BatchNormObserver = Callable[[nn.BatchNorm2d, Tensor], None]
"""Is called with every BatchNorm2d layer and its input [N, C, H, W], in the order of the pass."""


class Unit(nn.Module, ABC):
    """A piece of a network that shows its BatchNorm2d inputs to an observer."""

    @abstractmethod
    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """Maps an activation [N, C, H, W] to the next."""


class StageRunner(ABC):
    """Runs the units of a stage in another way than one after the other."""

    @abstractmethod
    def run_stage(self, stage: Stage, x: Tensor) -> Tensor:
        """Takes the stage's input to its output, [N, C, H, W]."""


class Stage(nn.Sequential):
    """Units in a row; the output of the last one is a tap.

    Every pass through a network goes through the calls of its stages, also where they are run in
    another way: so hooks on stages see every pass.
    """

    def forward(self, x: Tensor, observe: BatchNormObserver | StageRunner | None = None) -> Tensor:
        """Runs the units, one after the other unless a runner is given."""
        if isinstance(observe, StageRunner):
            return observe.run_stage(self, x)
        for unit in self:
            x = unit(x, observe)
        return x


def normalise(bn: nn.BatchNorm2d, x: Tensor, observe: BatchNormObserver | None) -> Tensor:
    """Shows x to the observer, then applies the BatchNorm layer."""
    if observe is not None:
        observe(bn, x)
    return bn(x)  # type: ignore[no-any-return]


class Shortcut(nn.Sequential):
    """The skip connection where a unit changes the shape: 1x1 convolution, BatchNorm."""

    def __init__(self, c_in: int, c_out: int, stride: int, eps: float) -> None:
        super().__init__(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out, eps))

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H / stride, W / stride]."""
        return normalise(cast("nn.BatchNorm2d", self[1]), self[0](x), observe)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a number that is computed from all channels' means.

    Hu et al., "Squeeze-and-Excitation Networks" (CVPR 2018).
    """

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, reduced, 1, bias=False)
        self.fc2 = nn.Conv2d(reduced, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        means = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(means))))


class BatchNormUnit(Unit):
    """A BatchNorm layer by itself."""

    def __init__(self, bn: nn.BatchNorm2d) -> None:
        super().__init__()
        self.bn = bn

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        return normalise(self.bn, x, observe)


class ConvUnit(Unit):
    """Convolution without bias, BatchNorm, activation (None: linear)."""

    def __init__(
        self, conv: nn.Conv2d, bn: nn.BatchNorm2d, prelu: nn.PReLU | nn.ReLU | None
    ) -> None:
        super().__init__()
        self.conv, self.bn, self.prelu = conv, bn, prelu

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H / stride, W / stride]."""
        x = normalise(self.bn, self.conv(x), observe)
        return x if self.prelu is None else self.prelu(x)
