"""The linear layer behind a network's last activation, with BatchNorm folded in."""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fiqa_fast.fused import onednn
from fiqa_fast.fused.convolution import Size


class FusedEmbedding:
    """Activation [N, C, H, W] -> embedding [N, D], one matrix product.

    The weights are sorted by rows, columns, channels, as a channels_last activation lies in memory.

    Args:
        fc: the linear layer; reads channels, rows, columns.
        bn: the BatchNorm layer behind it.
        size: height and width of the activation.
        dtype: of the activation and the weights.
    """

    def __init__(self, fc: nn.Linear, bn: nn.BatchNorm1d, size: Size, dtype: torch.dtype) -> None:
        precise = torch.float64 if dtype == torch.float64 else torch.float32
        mean, var = bn.running_mean, bn.running_var
        if mean is None or var is None:
            raise NotImplementedError("a fused embedding without BatchNorm statistics")
        scale = torch.rsqrt(var.to(precise) + bn.eps)
        shift = -mean.to(precise) * scale
        if bn.affine:
            scale, shift = scale * bn.weight.detach(), shift * bn.weight.detach()
            shift = shift + bn.bias.detach()
        bias = torch.zeros_like(scale) if fc.bias is None else fc.bias.detach().to(precise)
        self.bias = bias * scale + shift
        self._by_channel = (fc.weight.detach().to(precise) * scale[:, None]).to(dtype)
        self._channels = fc.in_features // (size[0] * size[1])
        self._size = size

    def __call__(self, activation: Tensor) -> Tensor:
        """[N, C, H, W] in channels_last memory -> raw embedding, float32 or float64 [N, D]."""
        return self.linear(activation).to(self.bias.dtype) + self.bias

    def linear(self, activation: Tensor) -> Tensor:
        """The embedding without its constant part, in the dtype of the activation."""
        return self._multiply(_rows(activation))

    def of_features(self, features: Tensor) -> Tensor:
        """Features [N, F] sorted by channels, rows, columns -> embedding, as `__call__`."""
        return self._multiply_by_channel(features).to(self.bias.dtype) + self.bias

    def backward(self, grad: Tensor) -> Tensor:
        """Gradient [N, D] at `linear` -> gradient [N, C, H, W] in channels_last memory."""
        rows = self._multiply_back(grad)
        return rows.reshape(len(rows), *self._size, self._channels).permute(0, 3, 1, 2)

    @cached_property
    def _weight(self) -> Tensor:
        d = len(self._by_channel)
        weight = self._by_channel.reshape(d, self._channels, *self._size)
        return weight.permute(0, 2, 3, 1).reshape(d, -1)

    @cached_property
    def _multiply(self) -> _Product:
        return _Product(self._weight)

    @cached_property
    def _multiply_by_channel(self) -> _Product:
        return _Product(self._by_channel)

    @cached_property
    def _multiply_back(self) -> _Product:
        return _Product(self._weight.T)


class _Product:
    """Multiplies rows [N, F] with the transposed of a matrix [D, F]."""

    def __init__(self, weight: Tensor) -> None:
        self._packed = onednn.packs(weight.device, weight.dtype)
        self._weight = onednn.packed_linear(weight) if self._packed else weight.contiguous()

    def __call__(self, rows: Tensor) -> Tensor:
        if not self._packed:
            return F.linear(rows, self._weight)
        if len(rows) == 1:  # a single row would be added up in another order
            return onednn.multiply(rows.repeat(2, 1), self._weight)[:1]
        return onednn.multiply(rows, self._weight)


def _rows(activation: Tensor) -> Tensor:
    """A channels_last activation as it lies in memory: [N, H * W * C]."""
    return activation.permute(0, 2, 3, 1).reshape(len(activation), -1)
