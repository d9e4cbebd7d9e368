"""Convolutions without bias and their input gradients, weights prepared once."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fiqa_fast.fused import onednn

Size = tuple[int, int]


class LinearMap(Protocol):
    """A linear map between activations [N, C, H, W] in channels_last memory."""

    def __call__(self, x: Tensor) -> Tensor:
        """Applies the map."""

    def onto(self, total: Tensor, x: Tensor) -> None:
        """Adds what the map makes of x to `total`, in place."""


def convolution(
    conv: nn.Conv2d,
    input_size: Size,
    dtype: torch.dtype,
    scale_in: Tensor | None = None,
    scale_out: Tensor | None = None,
) -> LinearMap:
    """A layer's map, with the scales of neighbouring BatchNorm layers folded into its weights.

    Args:
        conv: the layer, see `why_not_fusable`.
        input_size: height and width of its input.
        dtype: of activations and weights.
        scale_in: [C], multiplies the input channels.
        scale_out: [C'], multiplies the output channels.
    """
    weight = _scaled(conv, scale_in, scale_out).to(dtype)
    return _convolution(weight, conv.stride[0], _padding(conv), conv.groups, input_size)


def input_gradient(
    conv: nn.Conv2d,
    input_size: Size,
    dtype: torch.dtype,
    scale_in: Tensor | None = None,
    scale_out: Tensor | None = None,
) -> LinearMap:
    """What `convolution` with the same arguments passes back: from the gradient at y to that at x.

    With stride 1 it is a convolution with flipped, transposed weights, with a larger stride a
    transposed convolution. oneDNN's grouped ones of these are slow in bf16: there the gradient's
    pixels are spread apart, and a convolution of stride 1 follows.
    """
    weight = _scaled(conv, scale_in, scale_out).to(dtype)
    kernel, stride, padding = conv.kernel_size[0], conv.stride[0], _padding(conv)
    rows, columns = output_size(conv, input_size)
    covered = (rows - 1) * stride - 2 * padding + kernel
    geometry = _Geometry(stride, padding, input_size[0] - covered, conv.groups)
    if stride == 1 or (conv.groups > 1 and dtype == torch.bfloat16):
        seen = tuple((size - 1) * stride + 1 + geometry.output_padding for size in (rows, columns))
        turned = _swapped(weight.flip(2, 3), conv.groups)
        map_ = _convolution(turned, 1, kernel - 1 - padding, conv.groups, (seen[0], seen[1]))
        return map_ if stride == 1 else _Spread(map_, stride, geometry.output_padding)
    if onednn.packs(weight.device, dtype):
        return onednn.PackedTransposedConvolution(weight, *geometry, (rows, columns))
    return _TransposedConvolution(weight, geometry)


def output_size(conv: nn.Conv2d, input_size: Size) -> Size:
    """Height and width of a layer's output."""
    kernel, stride, padding = conv.kernel_size[0], conv.stride[0], _padding(conv)
    rows, columns = ((size + 2 * padding - kernel) // stride + 1 for size in input_size)
    return rows, columns


def is_plain(conv: nn.Conv2d) -> bool:
    """Whether a layer is one that this file knows: no bias, no dilation, square kernels."""
    pairs = (conv.kernel_size, conv.stride, conv.padding)
    return (
        conv.bias is None
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and all(isinstance(pair, tuple) and pair[0] == pair[1] for pair in pairs)
    )


def _convolution(
    weight: Tensor, stride: int, padding: int, groups: int, input_size: Size
) -> LinearMap:
    if onednn.packs(weight.device, weight.dtype):
        return onednn.PackedConvolution(weight, stride, padding, groups, input_size)
    return _Convolution(weight, stride, padding, groups)


class _Convolution:
    """A convolution by torch's ordinary function."""

    def __init__(self, weight: Tensor, stride: int, padding: int, groups: int) -> None:
        self._weight = weight.contiguous(memory_format=torch.channels_last)
        self._stride, self._padding, self._groups = stride, padding, groups

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self._weight, None, self._stride, self._padding, groups=self._groups)

    def onto(self, total: Tensor, x: Tensor) -> None:
        total.add_(self(x))


class _Geometry(NamedTuple):
    """Of a transposed convolution."""

    stride: int
    padding: int
    output_padding: int
    groups: int


class _TransposedConvolution:
    """A transposed convolution by torch's ordinary function."""

    def __init__(self, weight: Tensor, geometry: _Geometry) -> None:
        self._weight = weight.contiguous(memory_format=torch.channels_last)
        self._geometry = geometry

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self._weight, None, *self._geometry)

    def onto(self, total: Tensor, x: Tensor) -> None:
        total.add_(self(x))


class _Spread:
    """Spreads pixels apart, zeros between them, in front of a map."""

    def __init__(self, map_: LinearMap, stride: int, output_padding: int) -> None:
        self._map, self._stride, self._beyond = map_, stride, output_padding

    def __call__(self, x: Tensor) -> Tensor:
        return self._map(self._spread(x))

    def onto(self, total: Tensor, x: Tensor) -> None:
        self._map.onto(total, self._spread(x))

    def _spread(self, x: Tensor) -> Tensor:
        n, c, *size = x.shape
        rows, columns = ((s - 1) * self._stride + 1 + self._beyond for s in size)
        spread = x.new_zeros(n, rows, columns, c).permute(0, 3, 1, 2)
        spread[:, :, :: self._stride, :: self._stride] = x
        return spread


def _padding(conv: nn.Conv2d) -> int:
    padding = conv.padding[0]
    if not isinstance(padding, int):
        raise NotImplementedError(f"a fused convolution with padding {conv.padding}; see is_plain")
    return padding


def _scaled(conv: nn.Conv2d, scale_in: Tensor | None, scale_out: Tensor | None) -> Tensor:
    """The weights with channels scaled, in the precision of the scales."""
    weight = conv.weight.detach()
    if scale_out is not None:
        weight = weight.to(scale_out.dtype) * scale_out[:, None, None, None]
    if scale_in is not None:
        # Output channel o reads the input channels of its group.
        of_group = scale_in.reshape(conv.groups, 1, -1, 1, 1)
        grouped = weight.to(scale_in.dtype).reshape(conv.groups, -1, *weight.shape[1:])
        weight = (grouped * of_group).reshape(weight.shape)
    return weight


def _swapped(weight: Tensor, groups: int) -> Tensor:
    """[C', C / groups, k, k] -> [C, C' / groups, k, k]."""
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    grouped = weight.reshape(groups, outputs, inputs, *weight.shape[2:]).transpose(1, 2)
    return grouped.reshape(groups * inputs, outputs, *weight.shape[2:])
