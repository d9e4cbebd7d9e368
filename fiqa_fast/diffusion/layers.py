"""The layers of the UNet, under the names of denoising-diffusion-pytorch's weights."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 8
"""Of the group normalisation: the channels of every block are a multiple of it."""
_HEADS, _HEAD_SIZE = 4, 32
_EPS = 1e-5


class TimeEmbedding(nn.Module):
    """Sines and cosines of a time, with wavelengths in a geometric row (Vaswani et al., 2017)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.pairs = size // 2

    def forward(self, time: Tensor) -> Tensor:
        """Floating [N] -> [N, size]."""
        steps = torch.arange(self.pairs, dtype=time.dtype, device=time.device)
        frequencies = torch.exp(steps * (-math.log(10_000) / (self.pairs - 1)))
        angles = time[:, None] * frequencies
        return torch.cat((angles.sin(), angles.cos()), dim=1)


class Block(nn.Module):
    """3x3 convolution, group normalisation, scale and shift, SiLU.

    The convolution was trained with weight standardisation (Qiao et al., "Micro-Batch Training with
    Batch-Channel Normalization and Weight Standardization", 2019). `standardised` does that once,
    when weights are loaded, so the layer itself is a plain convolution.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.norm = nn.GroupNorm(GROUPS, c_out, _EPS)

    def forward(self, x: Tensor, scale_shift: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H, W]; scale and shift are [N or 1, C', 1, 1]."""
        x = self.norm(self.proj(x))
        if scale_shift is not None:
            scale, shift = scale_shift
            x = x * (scale + 1) + shift
        return F.silu(x)


def standardised(weight: Tensor) -> Tensor:
    """A convolution's weights [O, I, H, W] with mean 0 and variance 1 for each output channel."""
    variance, mean = torch.var_mean(weight, dim=(1, 2, 3), correction=0, keepdim=True)
    return (weight - mean) * (variance + _EPS).rsqrt()


class ResnetBlock(nn.Module):
    """Two blocks beside a skip connection; the time scales and shifts the first one."""

    def __init__(self, c_in: int, c_out: int, time_size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_size, 2 * c_out))
        self.block1 = Block(c_in, c_out)
        self.block2 = Block(c_out, c_out)
        self.res_conv = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """[N, C, H, W] and the embedded time [N or 1, time_size] -> [N, C', H, W]."""
        scale, shift = self.mlp(time)[:, :, None, None].chunk(2, dim=1)
        hidden = self.block2(self.block1(x, (scale, shift)))
        return hidden + self.res_conv(x)  # type: ignore[no-any-return]


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel, with a gain and no bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        return (x - mean) * (variance + _EPS).rsqrt() * self.g


class Attention(nn.Module):
    """Every pixel looks at every other (Vaswani et al., "Attention Is All You Need", 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_qkv = nn.Conv2d(channels, 3 * _HEADS * _HEAD_SIZE, 1, bias=False)
        self.to_out = nn.Conv2d(_HEADS * _HEAD_SIZE, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        q, k, v = _by_head(self.to_qkv(x))
        weights = (q.transpose(2, 3) * _HEAD_SIZE**-0.5 @ k).softmax(dim=-1)  # [N, heads, HW, HW]
        return self.to_out(_to_image(v @ weights.transpose(2, 3), x))  # type: ignore[no-any-return]


class LinearAttention(nn.Module):
    """Attention whose cost grows with the number of pixels, not with its square.

    Shen et al., "Efficient Attention: Attention with Linear Complexities" (WACV 2021).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_qkv = nn.Conv2d(channels, 3 * _HEADS * _HEAD_SIZE, 1, bias=False)
        self.to_out = nn.Sequential(
            nn.Conv2d(_HEADS * _HEAD_SIZE, channels, 1), ChannelNorm(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        q, k, v = _by_head(self.to_qkv(x))
        q = q.softmax(dim=2) * _HEAD_SIZE**-0.5
        # The division is felt: the normalisation behind it has an eps.
        context = k.softmax(dim=3) @ (v / v.shape[3]).transpose(2, 3)  # [N, heads, size, size]
        return self.to_out(_to_image(context.transpose(2, 3) @ q, x))  # type: ignore[no-any-return]


def _by_head(qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[N, 3 * heads * size, H, W] -> three of [N, heads, size, HW]."""
    q, k, v = qkv.reshape(len(qkv), 3, _HEADS, _HEAD_SIZE, -1).unbind(1)
    return q, k, v


def _to_image(heads: Tensor, like: Tensor) -> Tensor:
    """[N, heads, size, HW] -> [N, heads * size, H, W]."""
    return heads.reshape(len(like), -1, *like.shape[2:])


class PreNorm(nn.Module):
    """A normalisation in front of a layer."""

    def __init__(self, channels: int, layer: nn.Module) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.fn = layer

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        return self.fn(self.norm(x))  # type: ignore[no-any-return]


class ResidualAttention(nn.Module):
    """An attention layer, normalised in front, beside a skip connection."""

    def __init__(self, channels: int, attention: Attention | LinearAttention) -> None:
        super().__init__()
        self.fn = PreNorm(channels, attention)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        return self.fn(x) + x  # type: ignore[no-any-return]
