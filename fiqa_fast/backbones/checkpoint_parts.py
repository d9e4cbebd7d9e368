"""A checkpoint taken apart: the network's tensors without their prefix, and what stands beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fiqa_fast.weights.file import WeightsFile

# Under which prefixes releases put the network; those that name more come first.
_PREFIXES = (
    "module.base_model.",
    "base_model.",
    "module.features.module.",
    "features.module.",
    "module.features.",
    "module.base.",
    "base.",
    "module.backbone.",
    "backbone.",
    "model.",
    "module.",
)


@dataclass(frozen=True)
class CheckpointParts:
    """The tensors of a weights file, sorted.

    Attributes:
        file: where they come from.
        prefix: what stood in front of the network's names, or "".
        network: tensors by name, without the prefix.
        beside: tensors whose names do not have the prefix, such as those of a head.
    """

    file: WeightsFile
    prefix: str
    network: Mapping[str, Tensor]
    beside: Mapping[str, Tensor]


def take_apart(file: WeightsFile) -> CheckpointParts:
    """Finds the prefix under which the network stands, and takes it off.

    Most tensors of a file are the network's. Single ones may look as if they had a prefix: iresnet
    has a layer that is called `features`.
    """
    tensors = file.tensors
    for prefix in _PREFIXES:
        if 2 * sum(name.startswith(prefix) for name in tensors) > len(tensors):
            network = {
                n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)
            }
            beside = {
                n.removeprefix("module."): t for n, t in tensors.items() if not n.startswith(prefix)
            }
            return CheckpointParts(file, prefix, network, beside)
    return CheckpointParts(file, "", tensors, {})


def count_blocks(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered blocks there are below a prefix: `prefix0.`, `prefix1.`, ..."""
    numbers = {
        name.removeprefix(prefix).split(".", 1)[0] for name in tensors if name.startswith(prefix)
    }
    return sum(number.isdigit() for number in numbers)
