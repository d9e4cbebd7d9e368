"""A forward pass on fused operators, from which several scorers take what they need."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.fused.network import FusedRun, fused_network


class FusedForwardPass(ForwardPass):
    """As `ForwardPass`; activations lie in channels_last memory, embeddings are float32 or float64.

    Args:
        backbone: a network that can run fused, see `why_not_fusable`.
        crops: uint8 RGB [N, 3, H, W], in the network's input size.
    """

    def __init__(self, backbone: Backbone, crops: Tensor) -> None:
        super().__init__(backbone, crops)
        self.network = fused_network(backbone)

    @cached_property
    def run(self) -> FusedRun:
        """The pass through all units; whoever needs more of it than outputs sets it first."""
        return self.network.run(self.input)

    @cached_property
    def activations(self) -> tuple[Tensor, ...]:
        """The outputs of the five stages."""
        ends = self.network.stage_ends
        return tuple(self.run.outputs[end - 1] if end else self.input for end in ends)

    @cached_property
    def unit_outputs(self) -> tuple[tuple[Tensor, ...], ...]:
        """The outputs of every unit of the five stages, a tuple for each stage."""
        starts = (0, *self.network.stage_ends)
        return tuple(
            tuple(self.run.outputs[start:end])
            for start, end in zip(starts, self.network.stage_ends, strict=False)
        )

    @cached_property
    def embedding(self) -> Tensor:
        """Raw embeddings, not normalised: [N, embedding_size]."""
        with torch.no_grad():
            return self.network.embedding(self.activations[-1])
