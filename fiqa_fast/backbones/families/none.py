"""No network at all: for methods that judge a crop without recognising anybody in it."""

from __future__ import annotations

import torch
from torch import Tensor

from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.layers.units import Stage

NAME = "none"
SPEC = BackboneSpec(
    name=NAME,
    title="No recognition network",
    source="",
    licence="",
    embedding_size=0,
    dropout=0,
    taps={},
    input=InputSpec(pixel_mean=0.0, pixel_scale=1.0),
)


class NoNetwork(Backbone):
    """Stands where a method needs no network: it has a device and a precision, and nothing else."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        self.stages = (Stage(), Stage(), Stage(), Stage(), Stage())
        self.bn_statistics = "none"
        self.register_buffer("_anchor", torch.empty(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the crops go."""
        return self.get_buffer("_anchor").device

    def embed(self, features: Tensor) -> Tensor:
        """[N, F] -> [N, 0]: an embedding of no numbers."""
        return features[:, :0]
