"""Which classes a process has, and which of them take part in a step."""

from __future__ import annotations

import torch
from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.draws import uniform_of_classes


def class_range(classes: int, world_size: int, rank: int) -> tuple[int, int]:
    """The first class of a rank, and the one behind its last; sizes differ by one at most.

    Raises:
        InvalidArgumentError: a rank would have no class, or there are less than two.
    """
    if classes < max(world_size, 2):
        raise InvalidArgumentError(
            f"train: expected at least {max(world_size, 2)} classes for {world_size} processes, got"
            f" {classes}; start fewer processes, or bring more identities"
        )
    share, rest = divmod(classes, world_size)
    first = rank * share + min(rank, rest)
    return first, first + share + (rank < rest)


def sample_classes(
    labels: Tensor, first: int, last: int, *, rate: float, seed: int, step: int
) -> Tensor:
    """Those of a rank's classes that take part in a step.

    X. An et al., "Killing Two Birds with One Stone: Efficient and Robust Training of Face
    Recognition CNNs by Partial FC" (CVPR 2022): the classes of the batch, and others at random.
    Here each other class takes part with the probability `rate`, whatever rank it is on, so that
    the sample does not depend on the number of processes.

    Args:
        labels: int64, classes of the whole batch.
        first: class of this rank.
        last: the one behind its last.
        rate: 0 < rate <= 1.
        seed: 0 <= seed < 2**63.
        step: of the training.

    Returns:
        int64, positions from `first` on, ascending.
    """
    taken = uniform_of_classes(seed, step, first, last, labels.device) < rate
    taken[labels[(labels >= first) & (labels < last)] - first] = True
    return taken.nonzero()[:, 0]


def positions_in(rows: Tensor, wanted: Tensor) -> Tensor:
    """Where wanted numbers stand in ascending rows, or -1; all int64."""
    if not len(rows):
        return torch.full_like(wanted, -1)
    found = torch.searchsorted(rows, wanted).clamp(max=len(rows) - 1)
    return torch.where(rows[found] == wanted, found, -1)
