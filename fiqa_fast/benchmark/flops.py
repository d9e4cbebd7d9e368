"""Floating-point operations of networks and methods: what cannot be saved.

Counted are the convolutions and linear layers, 2 for each multiplication and addition; everything
else (BatchNorm, PReLU, statistics, distances) is under 1 % of them. The gradient of a convolution
at its input costs what its forward pass costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.errors import InvalidArgumentError

TAPS = ("image", "b1", "b2", "b3", "b4")
FORWARD_ONLY = (
    "embedding-norm", "froq", "cr-fiqa", "magface", "ediffiqa", "diffiqa-r", "label-regressor",
    "sdd-fiqa", "faceqnet", "lightqnet", "pcnet", "pfe",
)  # fmt: skip
METHODS = ("grafiqs", "faceqan", "ser-fiq", *FORWARD_ONLY)
"""The methods whose operations can be counted."""


@dataclass(frozen=True)
class NetworkFlops:
    """Operations of one image's forward pass.

    Attributes:
        stages: of each of the five stages; the taps b1..b4 are the outputs of the first four.
        embed: from the features to the embedding.
    """

    stages: tuple[float, ...]
    embed: float

    @property
    def trunk(self) -> float:
        """Of all stages."""
        return sum(self.stages)

    @property
    def forward(self) -> float:
        """From the network's input to the embedding."""
        return self.trunk + self.embed

    def gradient(self, tap: str) -> float:
        """Of the gradient from the end of the stages down to a tap: the layers behind it."""
        return sum(self.stages[TAPS.index(tap) :])


def count_network(backbone: Backbone) -> NetworkFlops:
    """Counts one image's forward pass, by a pass that computes shapes only."""
    stage_of = {m: i for i, stage in enumerate(backbone.stages) for m in stage.modules()}
    counts = [0.0] * (len(backbone.stages) + 1)

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            macs = output.numel() * module.in_channels // module.groups
            macs *= math.prod(module.kernel_size)
        else:
            macs = output.numel() * inputs[0].shape[-1]
        counts[stage_of.get(module, -1)] += 2 * macs

    layers = [m for m in backbone.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        shown = _Pass(backbone)
        tensors = {**dict(shown.named_parameters()), **dict(shown.named_buffers())}
        shapes = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
        size = backbone.spec.input
        x = torch.empty(1, 3, size.height_px, size.width_px, dtype=backbone.dtype, device="meta")
        with torch.no_grad():
            torch.func.functional_call(shown, shapes, (x,))
    finally:
        for handle in handles:
            handle.remove()
    return NetworkFlops(tuple(counts[:-1]), counts[-1])


class _Pass(nn.Module):
    """A network as far as it goes: some have a head behind the features, and no embedding."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone.trunk(x)
        return self.backbone.embed(features) if self.backbone.spec.embedding_size else features


def count_methods(
    network: NetworkFlops,
    methods: Mapping[str, Mapping[str, Any]],
    *,
    grafiqs_outputs: Sequence[str] = TAPS,
    variant: str = "official",
) -> float:
    """Operations for one image of methods that share one forward pass.

    The least that gives the same numbers: GraFIQs differentiates down to the earliest wanted tap
    only, FaceQAN's embeddings of images that decide nothing are left out.

    Args:
        network: from `count_network`.
        methods: names, with those of their parameters that are not the default.
        grafiqs_outputs: those of GraFIQs that are wanted; by default all.
        variant: "official" or "paper", for FaceQAN.

    Raises:
        InvalidArgumentError: a method that cannot be counted.
    """
    own = 0.0
    shares = False
    for name, options in methods.items():
        if name == "grafiqs":
            first = next((tap for tap in TAPS if tap in grafiqs_outputs), None)
            own += 0.0 if first is None else network.gradient(first)
        elif name == "faceqan":
            forwards, backwards = faceqan_passes(
                options.get("k", 10), options.get("l", 5), variant=variant
            )
            own += (forwards + backwards) * network.forward
        elif name == "ser-fiq":
            own += options.get("T", 100) * network.embed
        elif name in FORWARD_ONLY:
            own += network.embed
        else:
            raise InvalidArgumentError(
                f"benchmark: expected scorer to be one of {', '.join(METHODS)}, got {name!r};"
                " the cost of others is not that of a recognition network"
            )
        shares = shares or name != "faceqan"
    return own + (network.trunk if shares else 0.0)


def faceqan_passes(
    k: int,
    l: int,  # noqa: E741 (the paper's letter)
    *,
    variant: str = "official",
) -> tuple[int, int]:
    """How many images FaceQAN must send forward, and how many backward down to the pixels.

    The image and its mirror image, and k copies in each step. The official variant never embeds the
    copies after the last step, so it needs no gradient there; the paper's embeds nothing else.
    """
    if variant == "official":
        return k * l + 2, k * (l - 1)
    return k * (l + 1) + 2, k * l
