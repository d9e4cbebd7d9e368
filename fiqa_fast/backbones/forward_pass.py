"""One pass through a network, from which several scorers take what they need."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from fiqa_fast.backbones.base import Backbone


class ForwardPass:
    """Crops on their way through a network. Each part is computed once, when it is first asked for.

    Args:
        backbone: the network.
        crops: uint8 RGB [N, 3, H, W], in the network's input size.
    """

    def __init__(self, backbone: Backbone, crops: Tensor) -> None:
        self.backbone = backbone
        self.crops = crops

    @cached_property
    def input(self) -> Tensor:
        """What the network sees: [N, 3, H, W]."""
        return self.backbone.normalise(self.crops.to(self.backbone.device))

    @cached_property
    def activations(self) -> tuple[Tensor, ...]:
        """The outputs of the five stages: the taps b1..b4, and what becomes the features."""
        outputs = [self.input]
        with torch.no_grad():
            for stage in self.backbone.stages:
                outputs.append(stage(outputs[-1]))
        return tuple(outputs[1:])

    @cached_property
    def unit_outputs(self) -> tuple[tuple[Tensor, ...], ...]:
        """The outputs of every unit of the five stages, a tuple for each stage."""
        x, outputs, ends = self.input, [], []
        with torch.no_grad():
            for stage in self.backbone.stages:
                of_stage = []
                for unit in stage:
                    x = unit(x)
                    of_stage.append(x)
                outputs.append(tuple(of_stage))
                ends.append(x)  # a stage may have no unit
        self.activations = tuple(ends)
        return tuple(outputs)

    @property
    def features(self) -> Tensor:
        """What stands in front of the last linear layer: [N, F]."""
        return self.activations[-1].flatten(1)

    @cached_property
    def embedding(self) -> Tensor:
        """Raw embeddings, not normalised: [N, embedding_size]."""
        with torch.no_grad():
            return self.backbone.embed(self.features)
