"""A checkpoint taken apart: the network's tensors without their prefix, and what stands beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fiqa_fast.weights.file import WeightsFile

# Levels that releases and training scripts put in front of the network's own names, in any number.
_LEVELS = (
    "module",
    "_orig_mod",
    "model",
    "network",
    "net",
    "backbone",
    "base_model",
    "base",
    "encoder",
    "student",
    "features",
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
    network, beside, prefix = dict(file.tensors), dict[str, Tensor](), ""
    while level := next((x for x in _LEVELS if _is_prefix(f"{x}.", network)), ""):
        beside |= {n: t for n, t in network.items() if not n.startswith(f"{level}.")}
        network = {
            n.removeprefix(f"{level}."): t for n, t in network.items() if n.startswith(f"{level}.")
        }
        prefix += f"{level}."
    return CheckpointParts(
        file, prefix, network, {n.removeprefix("module."): t for n, t in beside.items()}
    )


def _is_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether most names have it."""
    return 2 * sum(name.startswith(prefix) for name in tensors) > len(tensors)


def count_blocks(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered blocks there are below a prefix: `prefix0.`, `prefix1.`, ..."""
    numbers = {
        name.removeprefix(prefix).split(".", 1)[0] for name in tensors if name.startswith(prefix)
    }
    return sum(number.isdigit() for number in numbers)
