"""A network as it was found in an ONNX graph, and how it becomes one of this package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.onnx_graph.input import PixelMap
from fiqa_fast.errors import WeightsError

_RELATIVE_ROUNDING = 1e-5  # of 1e-5 in float32


@dataclass(frozen=True)
class OnnxNetwork:
    """What a graph shows of a network.

    Attributes:
        path: of the file.
        tensors: under the names of this package; those of a head under the file's.
        first: name of the first convolution's weight.
        epsilons: of the BatchNorm layers that are left in the graph.
        folded: whether any BatchNorm2d layer is not, so that its statistics are lost.
        pixels: what the graph does with pixels; None where they come prepared.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    first: str
    epsilons: frozenset[float]
    folded: bool
    pixels: PixelMap | None

    def has_epsilon(self, eps: float) -> bool:
        """Whether no BatchNorm layer speaks against this epsilon."""
        return all(math.isclose(e, eps, rel_tol=_RELATIVE_ROUNDING) for e in self.epsilons)

    def seeing(self, spec: InputSpec) -> OnnxNetwork:
        """The same network for pixels that are prepared as `spec` says.

        Another scale in the graph goes into the first convolution. Another mean cannot: its padding
        would be another pixel.

        Raises:
            WeightsError: the graph subtracts another mean.
        """
        if self.pixels is None:
            return self
        if not self.pixels.has_mean_of(spec):
            raise WeightsError(
                f"weights: expected a graph that sees ({spec}), got {self.path}, which computes"
                f" {self.pixels}; export the network without its own preparation of pixels"
            )
        weight = self.pixels.weight_for(spec, self.tensors[self.first])
        return replace(self, tensors={**self.tensors, self.first: weight}, pixels=None)
