"""What every recognition network offers to the scorers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn

BatchNormObserver = Callable[[nn.BatchNorm2d, Tensor], None]
"""Is called with every BatchNorm2d layer and its input [N, C, H, W], in the order of the pass."""

PRECISIONS = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class BackboneSpec:
    """The facts of a network.

    Attributes:
        name: as `create_scorer(backbone=...)` takes it.
        title: for tables.
        source: where its weights come from.
        licence: of the weights.
        input_size_px: height and width of the crops it takes.
        pixel_mean: the network's input is (RGB 0..255 - pixel_mean) / pixel_scale.
        pixel_scale: see `pixel_mean`.
        embedding_size: length of the embedding.
        dropout: probability of the dropout layer in front of the last linear layer.
        taps: where GraFIQs reads gradients: b1..b4 and the layer whose output each of them is.
    """

    name: str
    title: str
    source: str
    licence: str
    input_size_px: int
    pixel_mean: float
    pixel_scale: float
    embedding_size: int
    dropout: float
    taps: dict[str, str]


class Unit(nn.Module, ABC):
    """A piece of a network that shows its BatchNorm2d inputs to an observer."""

    @abstractmethod
    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """Maps an activation [N, C, H, W] to the next."""


class Stage(nn.Sequential):
    """Units in a row; the output of the last one is a tap."""

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """Runs the units one after the other."""
        for unit in self:
            x = unit(x, observe)
        return x


class Backbone(nn.Module, ABC):
    """A recognition network, cut where the scorers need to look inside.

    normalise -> stages[0] (tap b1) -> ... -> stages[3] (tap b4) -> tail -> features -> embed

    Networks are in inference mode, and their parameters never require gradients.

    Attributes:
        spec: the network's facts.
        stages: four stages; the output of stage i is tap b{i+1}.
        tail: what follows the last tap, up to the features.
        weights_sha256: digest of the file the weights came from.
        precision: key of PRECISIONS.
    """

    spec: BackboneSpec
    stages: nn.ModuleList
    tail: Stage

    def __init__(self, weights_sha256: str) -> None:
        super().__init__()
        self.weights_sha256 = weights_sha256
        self.precision = "float32"

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turns RGB pixels on the scale 0..255, [N, 3, H, W], into the network's input.

        Integers are converted to the statistics' precision first (float32, or float64); a floating
        input keeps its gradient path.
        """
        working = torch.float64 if self.precision == "float64" else torch.float32
        x = (pixels.to(working) - self.spec.pixel_mean) / self.spec.pixel_scale
        return x.to(self.dtype)

    def features(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """Network input [N, 3, H, W] -> [N, F], what stands in front of the dropout layer."""
        for stage in chain(self.stages, [self.tail]):
            x = stage(x, observe)
        return x.flatten(1)

    @abstractmethod
    def embed(self, features: Tensor) -> Tensor:
        """[N, F] -> raw embedding [N, embedding_size], not normalised."""

    def forward(self, x: Tensor) -> Tensor:
        """Network input [N, 3, H, W] -> raw embedding [N, embedding_size]."""
        return self.embed(self.features(x))

    @property
    def batch_norms(self) -> list[nn.BatchNorm2d]:
        """Every BatchNorm2d layer: what GraFIQs compares statistics with."""
        return [m for m in self.modules() if isinstance(m, nn.BatchNorm2d)]

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """In which activations are stored."""
        return PRECISIONS[self.precision]

    def prepare(self, device: torch.device, precision: str) -> Backbone:
        """Freezes the network, moves it, and converts it in place.

        In bf16 and fp16 the BatchNorm layers keep float32 parameters and statistics: they cost
        nothing and decide GraFIQs' loss.
        """
        self.precision = precision
        self.requires_grad_(False).eval().to(device)
        for module in self.modules():
            if precision in ("bf16", "fp16") and isinstance(
                module, nn.BatchNorm2d | nn.BatchNorm1d
            ):
                continue
            for name, parameter in module.named_parameters(recurse=False):
                converted = nn.Parameter(parameter.to(self.dtype), requires_grad=False)
                setattr(module, name, converted)
            for name, buffer in module.named_buffers(recurse=False):
                if buffer.is_floating_point():
                    setattr(module, name, buffer.to(self.dtype))
        return self


def stages_of(backbone: Backbone) -> list[Stage]:
    """The stages and the tail in one list, typed."""
    return [*(cast("Stage", stage) for stage in backbone.stages), backbone.tail]
