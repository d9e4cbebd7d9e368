"""Running statistics of BatchNorm layers, estimated again from faces.

Networks whose BatchNorm layers were folded into the convolutions, or kept as an affine map only,
have no statistics for GraFIQs to compare with. Any set of faces gives new ones; the layers are
rewritten so that the network computes what it did before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.measured_crops import MeasuredCrops
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import UInt8Array

_DIGEST_CHARACTERS = 8


@dataclass(frozen=True)
class BatchNormStatistics:
    """Statistics of the inputs of a network's BatchNorm2d layers, in the order of `batch_norms`.

    Attributes:
        means: float64 [C] for each layer.
        variances: float64 [C] for each layer, biased.
        crop_count: over how many crops.
        crops_sha256: of the crops' pixels, whatever their order; in hexadecimal.
    """

    means: tuple[Tensor, ...]
    variances: tuple[Tensor, ...]
    crop_count: int
    crops_sha256: str

    def __str__(self) -> str:
        digest = self.crops_sha256[:_DIGEST_CHARACTERS]
        return f"re-estimated over {self.crop_count} crops, digest {digest}"


def estimate_statistics(backbone: Backbone, crops: Iterable[UInt8Array]) -> BatchNormStatistics:
    """Measures mean and variance of the input of every BatchNorm2d layer over faces.

    The network runs as it is, one crop at a time. Moments of single crops are merged in float64 by
    the rule of Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances" (COMPSTAT 1982), which loses nothing where the mean is large.

    Args:
        backbone: the network.
        crops: aligned faces, uint8 RGB [112, 112, 3] each; two or more. Hundreds of different
            people, in the quality that the network is used for, give statistics worth trusting.

    Returns:
        The statistics over all crops and positions.

    Raises:
        InvalidArgumentError: a network without BatchNorm2d layers, fewer than two crops, or one of
            another shape or dtype.
    """
    if not backbone.batch_norms:
        raise InvalidArgumentError(
            f"batch norm statistics: expected a network with BatchNorm2d layers, got"
            f" {backbone.spec.name}, which has none; choose another network"
        )
    moments = {bn: _Moments(bn) for bn in backbone.batch_norms}
    seen = MeasuredCrops("batch norm statistics", backbone)
    with torch.no_grad():
        for pixels in seen.inputs(crops):
            backbone.trunk(pixels, lambda bn, x: moments[bn].add(x))
    if seen.count < 2:
        raise InvalidArgumentError(
            f"batch norm statistics: expected at least 2 crops, got {seen.count}; give more faces"
        )
    return BatchNormStatistics(
        tuple(m.mean for m in moments.values()),
        tuple(m.squares / m.count for m in moments.values()),
        seen.count,
        seen.sha256,
    )


def replace_statistics(backbone: Backbone, statistics: BatchNormStatistics) -> None:
    """Gives the BatchNorm2d layers new running statistics, in place; the network's function stays.

    A layer computes s x + t with s = weight / sqrt(var + eps) and t = bias - mean s. With the new
    mean m and variance v it does the same for weight = s sqrt(v + eps) and bias = t + m s.

    Args:
        backbone: the network, in float32 or float64.
        statistics: of the same network.
    """
    for bn, mean, var in zip(
        backbone.batch_norms, statistics.means, statistics.variances, strict=True
    ):
        old_mean, old_var = cast("Tensor", bn.running_mean), cast("Tensor", bn.running_var)
        # Rounded first to what the layer will hold: the map must fit the numbers it divides by.
        new_mean, new_var = mean.to(old_mean), var.to(old_var)
        scale = bn.weight.double() / (old_var.double() + bn.eps).sqrt()
        shift = bn.bias.double() - old_mean.double() * scale
        weight = scale * (new_var.double() + bn.eps).sqrt()
        bias = shift + new_mean.double() * scale
        bn.weight = nn.Parameter(weight.to(bn.weight), requires_grad=False)
        bn.bias = nn.Parameter(bias.to(bn.bias), requires_grad=False)
        bn.running_mean, bn.running_var = new_mean, new_var
    backbone.bn_statistics = str(statistics)


class _Moments:
    """Mean and sum of squared deviations of a layer's input, channel by channel, in float64."""

    def __init__(self, bn: nn.BatchNorm2d) -> None:
        self.count = 0
        self.mean = torch.zeros(bn.num_features, dtype=torch.float64, device=bn.weight.device)
        self.squares = torch.zeros_like(self.mean)

    def add(self, x: Tensor) -> None:
        """Takes in [N, C, H, W]."""
        values = x.double().transpose(0, 1).flatten(1)
        count, mean = values.shape[1], values.mean(1)
        squares = (values - mean[:, None]).square().sum(1)
        difference = mean - self.mean
        total = self.count + count
        self.mean = self.mean + difference * (count / total)
        self.squares = self.squares + squares + difference**2 * (self.count * count / total)
        self.count = total
