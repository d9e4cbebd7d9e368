"""BatchNorm over the batches of all processes together.

torch's own SyncBatchNorm runs on GPUs only. This one is slower, runs anywhere, and makes two
processes compute what one would: the statistics are those of the whole batch, forwards and back.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx


def synchronise_batch_norm(network: nn.Module) -> None:
    """Makes every BatchNorm layer take its statistics from the batches of all processes."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            # Not exchanged for another layer: networks hold their layers in several places.
            module.__class__ = (
                _SynchronisedBatchNorm1d
                if isinstance(module, nn.BatchNorm1d)
                else _SynchronisedBatchNorm2d
            )


class _Sum(Function):
    """The sum over all processes; its gradient is summed too."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor) -> Tensor:
        total = values.clone()
        if dist.is_initialized():
            dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradient)


def _sum_over_processes(values: Tensor) -> Tensor:
    return cast("Tensor", _Sum.apply(values))  # type: ignore[no-untyped-call]


def _normalise(layer: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    if not layer.training:
        return F.batch_norm(
            x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps
        )
    axes = [0, *range(2, x.dim())]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    wide = x.double()  # two passes over sums of different batches agree to the last digit
    local = torch.cat([wide.sum(axes), wide.new_full((1,), x.numel() / x.shape[1])])
    sums = _sum_over_processes(local)
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = wide - mean.view(shape)
    variance = _sum_over_processes((centred * centred).sum(axes)) / count
    with torch.no_grad():
        _follow(layer, mean, variance * (count / (count - 1).clamp(min=1)))
    normal: Tensor = (centred * torch.rsqrt(variance + layer.eps).view(shape)).to(x.dtype)
    if layer.affine:
        normal = normal * layer.weight.view(shape) + layer.bias.view(shape)
    return normal


def _follow(layer: nn.BatchNorm1d | nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Moves the running statistics, as torch's layers do."""
    momentum = 0.1 if layer.momentum is None else layer.momentum
    for running, now in ((layer.running_mean, mean), (layer.running_var, variance)):
        if running is not None:
            running.lerp_(now.to(running.dtype), momentum)
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked += 1


class _SynchronisedBatchNorm1d(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return _normalise(self, x)


class _SynchronisedBatchNorm2d(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return _normalise(self, x)
