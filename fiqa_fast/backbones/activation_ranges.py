"""How large the inputs of a network's convolutions get: what 8-bit integers need to know of it.

The numbers belong to a network's weights and travel with them: in files they stand beside the
network's own tensors, under names of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from fiqa_fast.backbones.checkpoint_metadata import ACTIVATION_RANGES
from fiqa_fast.errors import WeightsError
from fiqa_fast.weights.file import WeightsFile

_PREFIX = "activation_range."
_UNKNOWN = "measured, nobody says over what"


@dataclass(frozen=True)
class ActivationRanges:
    """Ranges of the inputs of a network's convolutions.

    Attributes:
        largest: by the name of the convolution, the largest magnitude that each of its input
            channels had: float32 [C].
        origin: over which crops they were measured, in words.
    """

    largest: Mapping[str, Tensor]
    origin: str

    def __str__(self) -> str:
        return f"{len(self.largest)} convolutions, {self.origin}"

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Under the names that they have in files."""
        return {_PREFIX + name: largest for name, largest in self.largest.items()}


def take_ranges(file: WeightsFile) -> tuple[WeightsFile, ActivationRanges | None]:
    """A file without the ranges that it holds, and these; None where it holds none."""
    found = {n.removeprefix(_PREFIX): t for n, t in file.tensors.items() if n.startswith(_PREFIX)}
    if not found:
        return file, None
    tensors = {n: t for n, t in file.tensors.items() if not n.startswith(_PREFIX)}
    origin = file.metadata.get(ACTIVATION_RANGES, _UNKNOWN)
    return replace(file, tensors=tensors), ActivationRanges(found, origin)


def check_ranges(network: nn.Module, ranges: ActivationRanges, file: WeightsFile) -> None:
    """Raises WeightsError unless ranges of a file are those of layers that the network has."""
    layers = dict(network.named_modules())
    for name, largest in ranges.largest.items():
        layer = layers.get(name)
        if not isinstance(layer, nn.Conv2d):
            problem = f"a range for {name}, which is no convolution of the network"
        elif list(largest.shape) != [layer.in_channels] or not largest.is_floating_point():
            problem = (
                f"a range of {list(largest.shape)} {largest.dtype} for the {layer.in_channels}"
                f" input channels of {name}"
            )
        elif not (largest.isfinite() & (largest >= 0)).all():
            problem = f"a range of {name} that is negative or not finite"
        else:
            continue
        raise WeightsError(
            f"weights: expected activation ranges that fit the network, got {file.path} with"
            f" {problem}; measure them again with `fiqa-fast weights calibrate-int8`"
        )
