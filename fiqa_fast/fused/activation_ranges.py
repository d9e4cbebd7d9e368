"""Measures how large the inputs of a network's convolutions get over faces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from fiqa_fast.backbones.activation_ranges import ActivationRanges
from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.families.iresnet import ResidualUnit
from fiqa_fast.backbones.measured_crops import MeasuredCrops
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.fused.network import why_not_fusable
from fiqa_fast.fused.quantisation import quantised_convolutions, quantised_layers
from fiqa_fast.types import UInt8Array

_DIGEST_CHARACTERS = 8


def measure_ranges(backbone: Backbone, crops: Iterable[UInt8Array]) -> ActivationRanges:
    """Measures the largest magnitude of each channel in front of every convolution of integers.

    The network's own layers run, one crop at a time.

    Args:
        backbone: the network, in float32 or float64.
        crops: aligned faces, uint8 RGB [112, 112, 3] each; one or more. What they do not reach is
            cut off later, so they should be as different as the faces that will be scored, bad
            ones among them; dozens suffice.

    Returns:
        The ranges, for the network's `activation_ranges`.

    Raises:
        InvalidArgumentError: a network in another precision, or without such convolutions, no crop,
            or one of another shape or dtype.
    """
    if backbone.precision not in ("float32", "float64"):
        raise InvalidArgumentError(
            "activation ranges: expected a network in float32 or float64, got"
            f" {backbone.spec.name} in {backbone.precision}; load it in float32"
        )
    obstacle = why_not_fusable(backbone)
    names = {} if obstacle else {conv: name for name, conv in quantised_layers(backbone).items()}
    if not names:
        raise InvalidArgumentError(
            "activation ranges: expected a network whose convolutions can compute with integers,"
            f" got {backbone.spec.name}: {obstacle or 'it has none that is wide enough'};"
            " use another precision or network"
        )
    largest: dict[str, Tensor] = {}
    seen = MeasuredCrops("activation ranges", backbone)
    with torch.no_grad():
        for pixels in seen.inputs(crops):
            for conv, x in _inputs(backbone, pixels):
                now = x.abs().amax((0, 2, 3)).float()
                before = largest.get(names[conv])
                largest[names[conv]] = now if before is None else torch.maximum(before, now)
    if not largest:
        raise InvalidArgumentError(
            "activation ranges: expected at least 1 crop, got none; give more faces"
        )
    digest = seen.sha256[:_DIGEST_CHARACTERS]
    return ActivationRanges(largest, f"measured over {seen.count} crops, digest {digest}")


def _inputs(backbone: Backbone, x: Tensor) -> Iterator[tuple[nn.Conv2d, Tensor]]:
    """Every convolution of integers and its input, in a pass over the network's own layers."""
    for stage in backbone.stages:
        for unit in stage:
            inputs: dict[nn.BatchNorm2d, Tensor] = {}
            y = unit(x, inputs.__setitem__)
            yield from _inputs_of_unit(unit, x, inputs)
            x = y


def _inputs_of_unit(
    unit: nn.Module, x: Tensor, inputs: dict[nn.BatchNorm2d, Tensor]
) -> Iterator[tuple[nn.Conv2d, Tensor]]:
    """From the unit's input, and those of its BatchNorm layers."""
    convs = quantised_convolutions(unit)
    if convs and isinstance(unit, ResidualUnit):
        yield unit.conv1, unit.bn1(x)
        yield unit.conv2, unit.prelu(unit.bn2(inputs[unit.bn2]))
    elif convs:
        yield convs[0], x
