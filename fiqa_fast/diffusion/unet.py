"""The UNet that guesses an image from a noisy one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fiqa_fast.diffusion.layers import (
    Attention,
    LinearAttention,
    ResidualAttention,
    ResnetBlock,
    TimeEmbedding,
)

_CHANNELS = 3


@dataclass(frozen=True)
class UNetSize:
    """What a UNet's weights file decides.

    Attributes:
        dim: channels at full resolution.
        widths: channels behind each level; the released UNet has dim 128 and 1, 2, 4, 8 times it.
        downsampling: "unshuffle" (2x2 pixels become channels, 1x1 convolution: denoising-diffusion-
            pytorch from 1.0 on) or "strided" (4x4 convolution with stride 2: before).
    """

    dim: int
    widths: tuple[int, ...]
    downsampling: Literal["unshuffle", "strided"] = "unshuffle"


class UNet(nn.Module):
    """The UNet of denoising-diffusion-pytorch 0.28 to 1.6, under the names of its weights.

    Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models" (NeurIPS 2020), with that library's
    blocks and attention.

    Args:
        size: its widths.
    """

    def __init__(self, size: UNetSize) -> None:
        super().__init__()
        self.size = size
        dim, time_size = size.dim, 4 * size.dim
        levels = list(zip((dim, *size.widths), size.widths, strict=False))
        self.init_conv = nn.Conv2d(_CHANNELS, dim, 7, padding=3)
        self.time_mlp = nn.Sequential(
            TimeEmbedding(dim),
            nn.Linear(dim, time_size),
            nn.GELU(),
            nn.Linear(time_size, time_size),
        )
        self.downs = nn.ModuleList()
        self.ups = nn.ModuleList()
        for i, (c_in, c_out) in enumerate(levels):
            is_lowest = i == len(levels) - 1
            self.downs.append(
                nn.ModuleList(
                    [
                        ResnetBlock(c_in, c_in, time_size),
                        ResnetBlock(c_in, c_in, time_size),
                        ResidualAttention(c_in, LinearAttention(c_in)),
                        _same(c_in, c_out) if is_lowest else _halve(c_in, c_out, size),
                    ]
                )
            )
        c_mid = size.widths[-1]
        self.mid_block1 = ResnetBlock(c_mid, c_mid, time_size)
        self.mid_attn = ResidualAttention(c_mid, Attention(c_mid))
        self.mid_block2 = ResnetBlock(c_mid, c_mid, time_size)
        for i, (c_out, c_in) in enumerate(reversed(levels)):
            is_highest = i == len(levels) - 1
            self.ups.append(
                nn.ModuleList(
                    [
                        ResnetBlock(c_in + c_out, c_in, time_size),
                        ResnetBlock(c_in + c_out, c_in, time_size),
                        ResidualAttention(c_in, LinearAttention(c_in)),
                        _same(c_in, c_out) if is_highest else _double(c_in, c_out),
                    ]
                )
            )
        self.final_res_block = ResnetBlock(2 * dim, dim, time_size)
        self.final_conv = nn.Conv2d(dim, _CHANNELS, 1)

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Guesses images from noisy ones.

        Args:
            x: [N, 3, H, W]; H and W are multiples of 2 ** (levels of the UNet - 1).
            level: the noise level of all of them.

        Returns:
            [N, 3, H, W].
        """
        time: Tensor = self.time_mlp(torch.full((1,), level, dtype=x.dtype, device=x.device))
        x = self.init_conv(x)
        first, skipped = x, []
        for parts in self.downs:
            block1, block2, attention, resize = _parts(parts)
            x = block1(x, time)
            skipped.append(x)
            x = attention(block2(x, time))
            skipped.append(x)
            x = resize(x)
        x = self.mid_block2(self.mid_attn(self.mid_block1(x, time)), time)
        for parts in self.ups:
            block1, block2, attention, resize = _parts(parts)
            x = block1(torch.cat((x, skipped.pop()), dim=1), time)
            x = attention(block2(torch.cat((x, skipped.pop()), dim=1), time))
            x = resize(x)
        return self.final_conv(  # type: ignore[no-any-return]
            self.final_res_block(torch.cat((x, first), dim=1), time)
        )


def _parts(level: nn.Module) -> Sequence[nn.Module]:
    """The two blocks, the attention and the change of size of a level."""
    return [level.get_submodule(str(i)) for i in range(4)]


def _same(c_in: int, c_out: int) -> nn.Module:
    return nn.Conv2d(c_in, c_out, 3, padding=1)


def _halve(c_in: int, c_out: int, size: UNetSize) -> nn.Module:
    if size.downsampling == "strided":
        return nn.Conv2d(c_in, c_out, 4, stride=2, padding=1)
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * c_in, c_out, 1))


def _double(c_in: int, c_out: int) -> nn.Module:
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(c_in, c_out, 3, padding=1))
