"""How the tensors of a file differ from those that a network needs."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from torch import Tensor

COUNTER = "num_batches_tracked"
"""How the names of BatchNorm's counts of training steps end, which old files do not have."""

_LISTED = 8


@dataclass(frozen=True)
class Differences:
    """What is wrong with a file for a network; false when nothing is.

    Attributes:
        missing: names of the network's tensors that the file lacks.
        unexpected: names in the file that the network does not have.
        misshaped: names and how their shapes or dtypes differ.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshaped)

    def __str__(self) -> str:
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "mis-shaped": self.misshaped,
        }
        return "; ".join(
            f"{len(names)} {kind}: {', '.join(names[:_LISTED])}"
            + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
            for kind, names in kinds.items()
            if names
        )


def compare(
    wanted: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    *,
    ignored: Set[str] = frozenset(),
) -> Differences:
    """Lists how the tensors of a file differ from those of a network.

    Args:
        wanted: the network's tensors by name, on any device.
        given: the file's.
        ignored: names that may be in the file without being the network's.
    """
    return Differences(
        tuple(n for n in wanted if n not in given and not n.endswith(COUNTER)),
        tuple(n for n in given if n not in wanted and n not in ignored),
        tuple(
            f"{n} {_form(given[n])} instead of {_form(tensor)}"
            for n, tensor in wanted.items()
            if n in given and _form(given[n]) != _form(tensor)
        ),
    )


def _form(tensor: Tensor) -> str:
    """The shape, and whether a tensor holds whole numbers: those of quantised files, or counts."""
    shape = str(list(tensor.shape))
    return shape if tensor.is_floating_point() else f"{shape} of whole numbers"
