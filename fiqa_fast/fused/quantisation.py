"""Convolutions of 8-bit integers: which of a network's they are, and their weights.

An activation x of channel c stands as 128 + round(x / step[c]), within 0..255. The steps are folded
into the weights, w * step, and these stand as integers with a step for each output channel. So a
convolution adds up products of integers, exactly and in any order, and multiplies once by the
output channel's step.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.families.iresnet import ResidualUnit
from fiqa_fast.backbones.layers.units import ConvUnit
from fiqa_fast.fused import onednn
from fiqa_fast.fused.batch_norm import FusedBatchNorm
from fiqa_fast.fused.convolution import Size
from fiqa_fast.ops.quantize import QUANTIZED_ZERO, quantize

_LARGEST = 127  # of integers that stand for magnitudes
_HEADROOM = 1.25
"""Between the largest magnitude that was measured and the largest that an integer stands for.

Faces go beyond what others reached. On SFace and 186 damaged crops it took the rank correlation
with float32 from 0.980 to 0.995 where four crops had been measured, and cost nothing where there
were many.
"""
_FEWEST_CHANNELS = 32  # of an input; below, and in depthwise layers, integers save nothing
_SMALLEST_RANGE = 1e-20  # below, a channel counts as empty


def quantised_convolutions(unit: nn.Module) -> tuple[nn.Conv2d, ...]:
    """The convolutions of a unit that compute with integers.

    Skip connections are left out: they have 1 % of an iresnet's operations, and their inputs would
    need a pass of their own.
    """
    convs: tuple[nn.Conv2d, ...] = ()
    if isinstance(unit, ResidualUnit):
        convs = (unit.conv1, unit.conv2)
    elif isinstance(unit, ConvUnit):
        convs = (unit.conv,)
    fit = all(conv.groups == 1 and conv.in_channels >= _FEWEST_CHANNELS for conv in convs)
    return convs if fit else ()


def quantised_layers(backbone: Backbone) -> dict[str, nn.Conv2d]:
    """Those of a whole network, by name."""
    names = {module: name for name, module in backbone.named_modules()}
    units = (unit for stage in backbone.stages for unit in stage)
    return {names[conv]: conv for unit in units for conv in quantised_convolutions(unit)}


def input_ranges(backbone: Backbone) -> dict[nn.Module, Tensor]:
    """The range [C] of the input of every convolution that shall compute with integers.

    Empty unless the network's precision is "int8".
    """
    ranges = backbone.activation_ranges
    if backbone.precision != "int8" or ranges is None:
        return {}
    return {conv: ranges.largest[name] for name, conv in quantised_layers(backbone).items()}


class QuantisedConvolution:
    """BatchNorm and PReLU, where they stand in front, and a convolution of integers.

    Args:
        conv: the layer, without bias and groups.
        input_size: height and width of its input.
        largest: [C], the largest magnitude that was measured of its input channels; what is far
            beyond is cut off, see `input_steps`.
        bn: in front of it; None: none.
        slope: [C], of the PReLU between; None: none.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        input_size: Size,
        largest: Tensor,
        bn: FusedBatchNorm | None = None,
        slope: Tensor | None = None,
    ) -> None:
        step = input_steps(largest)
        # An empty channel: all its numbers become 0, and so do its weights.
        per_step = torch.where(step > 0, 1 / step, 0.0)
        self._scale = per_step if bn is None else bn.scale * per_step
        self._shift = None if bn is None else bn.shift * per_step
        self._slope = slope
        weight, weight_steps = integer_weights(conv.weight.detach().float(), step)
        self._convolution = onednn.PackedInt8Convolution(
            weight,
            weight_steps,
            QUANTIZED_ZERO,
            conv.stride[0],
            cast("int", conv.padding[0]),
            input_size,
        )

    def __call__(self, x: Tensor) -> Tensor:
        """[N, C, H, W] in channels_last memory, in front of the BatchNorm -> bf16 output."""
        return self._convolution(quantize(x, self._scale, self._shift, self._slope))

    def onto(self, total: Tensor, x: Tensor) -> None:
        """Adds the output to `total`, in place."""
        total.add_(self(x))


def input_steps(largest: Tensor) -> Tensor:
    """What a step of 1 between integers stands for, in each channel [C]: 0 where it is empty."""
    step = _HEADROOM * largest.float() / _LARGEST
    return torch.where(largest > _SMALLEST_RANGE, step, 0.0)


def integer_weights(weight: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [C', C, k, k] as int8, for inputs in steps [C]; and their steps [C']."""
    scaled = weight * step[:, None, None]
    steps = scaled.abs().amax((1, 2, 3)) / _LARGEST
    steps = torch.where(steps > 0, steps, 1.0)  # of a channel without any weight
    integers = (scaled / steps[:, None, None, None]).round().clamp(-_LARGEST, _LARGEST)
    return integers.to(torch.int8), steps
