"""TensorFlow's padding: as much as is needed for an output of ceil(input / stride)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding "SAME".

    The padding depends on the input's size. Where its total is odd, the bottom and the right get
    the additional row and column: on an image of even size, a 3x3 convolution with stride 2 looks
    one pixel further down and right than with torch's `padding=1`.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(c_in, c_out, kernel, stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """[N, C, H, W] -> [N, C', ceil(H / stride), ceil(W / stride)]."""
        height, width = (
            _total(size, kernel, stride)
            for size, kernel, stride in zip(
                input.shape[2:], self.kernel_size, self.stride, strict=True
            )
        )
        sides = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(F.pad(input, sides) if any(sides) else input)


def _total(size: int, kernel: int, stride: int) -> int:
    """Pixels to add, on both sides together."""
    outputs = -(-size // stride)
    return max((outputs - 1) * stride + kernel - size, 0)
