"""What every recognition network offers to the scorers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fiqa_fast.backbones.activation_ranges import ActivationRanges
from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.layers.heads import QualityHead
from fiqa_fast.backbones.layers.units import BatchNormObserver, Stage

PRECISIONS = {
    "int8": torch.bfloat16,  # of activations between convolutions; see `Backbone.prepare`
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
        embedding_size: length of the embedding; 0 for a network that has none.
        dropout: probability of the dropout layer in front of the last linear layer; 0 without one.
        taps: where GraFIQs reads gradients: b1..b4 and the layer whose output each of them is.
        input: size, colour order and range of what it sees.
    """

    name: str
    title: str
    source: str
    licence: str
    embedding_size: int
    dropout: float
    taps: Mapping[str, str]
    input: InputSpec = field(default_factory=InputSpec)


class Backbone(nn.Module, ABC):
    """A recognition network, cut where the scorers need to look inside.

    normalise -> stages[0] (tap b1) -> ... -> stages[3] (tap b4) -> stages[4] -> features -> embed

    Networks are in inference mode, and their parameters never require gradients. A family registers
    its layers under the names of the released weights; `stages` is a view of the same layers.

    Attributes:
        spec: the network's facts.
        stages: five; the outputs of the first four are the taps b1..b4, that of the last one,
            flattened, is the features.
        head: what turns features or embedding into a quality, where the weights have one.
        weights_sha256: digest of the file the weights came from.
        bn_statistics: where the running statistics of the BatchNorm layers come from: "training",
            "none" (folded, or an affine map only), or how they were re-estimated.
        activation_ranges: of its convolutions' inputs, which the precision "int8" needs; None: they
            were not measured.
        precision: key of PRECISIONS.
    """

    spec: BackboneSpec
    stages: tuple[Stage, Stage, Stage, Stage, Stage]

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        self.spec = spec
        self.head: QualityHead | None = None
        self.weights_sha256 = ""
        self.bn_statistics = "training"
        self.activation_ranges: ActivationRanges | None = None
        self.precision = "float32"

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turns RGB pixels on the scale 0..255, [N, 3, H, W], into the network's input.

        Integers are converted to the statistics' precision first (float32, or float64); a floating
        input keeps its gradient path.
        """
        working = torch.float64 if self.precision == "float64" else torch.float32
        return self.spec.input.normalised(pixels.to(working)).to(self.dtype)

    def trunk(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """Network input [N, 3, H, W] -> features [N, F], in front of the last linear layer."""
        for stage in self.stages:
            x = stage(x, observe)
        return x.flatten(1)

    @property
    def embedding_layers(self) -> tuple[nn.Linear, nn.BatchNorm1d] | None:
        """The layers that `embed` is made of, where it is these two; else None."""
        return None

    @abstractmethod
    def embed(self, features: Tensor) -> Tensor:
        """[N, F] -> raw embedding [N, embedding_size], not normalised."""

    def forward(self, x: Tensor) -> Tensor:
        """Network input [N, 3, H, W] -> raw embedding [N, embedding_size]."""
        return self.embed(self.trunk(x))

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

    def train(self, mode: bool = True) -> Backbone:
        """Stays in inference mode, also when a module around it is trained: scores depend on it."""
        return super().train(False)

    def prepare(self, device: torch.device, precision: str) -> Backbone:
        """Freezes the network, moves it, and converts it in place.

        In bf16 and fp16 the BatchNorm layers and the head stay float32: they cost nothing, and
        decide GraFIQs' loss and the learned scores. In int8 all parameters do: the fused passes,
        which alone run in it, make their own of them.
        """
        self.precision = precision
        stored = torch.float32 if precision == "int8" else self.dtype
        self.requires_grad_(False).eval().to(device)
        head = set() if self.head is None else set(self.head.modules())
        for module in self.modules():
            stays = module in head or isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)
            if stays and precision in ("bf16", "fp16"):
                continue
            for name, parameter in module.named_parameters(recurse=False):
                converted = nn.Parameter(parameter.to(stored), requires_grad=False)
                setattr(module, name, converted)
            for name, buffer in module.named_buffers(recurse=False):
                if buffer.is_floating_point():
                    setattr(module, name, buffer.to(stored))
        return self
