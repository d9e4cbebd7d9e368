"""FROQ: how strongly a face excites chosen layers of a recognition network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.base import PRECISIONS_OF_FORWARD_PASSES, Scorer, ScorerOptions, ScorerSpec

_TAPS = ("b1", "b2", "b3", "b4")


@dataclass(frozen=True)
class FroqOptions(ScorerOptions):
    """Parameters of FROQ.

    Attributes:
        layers: separated by commas: the network's taps "b1" to "b4", or units as "STAGE.UNIT",
            counted from 1 ("3.2" is the second unit of the third stage). See `select_layers`.
    """

    layers: str = "b4"


class Froq(Scorer):
    """Mean L2 norm of the activations of chosen layers, from one forward pass. Higher is better.

    Babnik, Jain, Peer, Štruc, "FROQ: Observing Face Recognition Models for Efficient Quality
    Assessment" (IJCB 2025, arXiv 2509.17689). For each chosen layer the whole activation is
    flattened, and the norms are averaged without weights.

    The authors choose the layers anew for every network, by how well their norms rank a calibration
    set as another method does; they publish no list. `froq_selection.select_layers` does that. The
    default, the deepest tap, is this package's own, for want of a list: on SFace and a dozen
    damaged crops of two people the norms of the shallower taps rose with noise in the image. It may
    rank faces badly on another network.

    The authors look at the output of every module, down to single convolutions; here the choice is
    among the units that a network is made of (residual units, or convolution with BatchNorm and
    activation).
    """

    spec = ScorerSpec(
        name="froq",
        title="FROQ",
        paper='Babnik et al., "FROQ: Observing Face Recognition Models for Efficient Quality'
        ' Assessment", IJCB 2025',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        variants=(),
        precisions=PRECISIONS_OF_FORWARD_PASSES,
        weights="any",
        licence="that of the file",
    )
    options_type = FroqOptions
    options: FroqOptions

    def _check_backbone(self) -> None:
        names = [name.strip() for name in self.options.layers.split(",")]
        units = layer_names(self.backbone)
        ends = {tap: stage[-1] for tap, stage in zip(_TAPS, units, strict=False) if stage}
        valid = [name for stage in units for name in stage]
        for name in names:
            if name not in ends and name not in valid:
                raise InvalidArgumentError(
                    f"froq: expected layers to be some of {', '.join([*ends, *valid])} for"
                    f" {self.backbone.spec.name}, separated by commas, got {self.options.layers!r};"
                    " choose them with froq_selection.select_layers"
                )
        self._layers = [ends.get(name, name) for name in names]
        if len(set(self._layers)) < len(names):
            raise InvalidArgumentError(
                f"froq: expected each layer once, got {self.options.layers!r}, which are the units"
                f" {', '.join(self._layers)}; name each of them once"
            )

    def _evaluate(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        norms = []
        for name in self._layers:
            stage, unit = (int(number) - 1 for number in name.split("."))
            is_last = unit == len(self.backbone.stages[stage]) - 1
            activation = (
                forward.activations[stage] if is_last else forward.unit_outputs[stage][unit]
            )
            flat = activation.flatten(1)
            # A float32 sum of a million squares is wrong in its fifth digit.
            norms.append(torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64))
        return {"score": torch.stack(norms).mean(0)}


def layer_names(network: Backbone) -> list[list[str]]:
    """The names of the network's units, a list for each stage: [["1.1", "1.2"], ["2.1"], ...]."""
    return [
        [f"{number}.{unit}" for unit in range(1, len(stage) + 1)]
        for number, stage in enumerate(network.stages, 1)
    ]
