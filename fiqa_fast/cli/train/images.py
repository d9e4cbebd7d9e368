"""Unreadable images of a training set, found before hours are spent."""

from __future__ import annotations

from rich.console import Console
from rich.progress import track

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.crops import find_unreadable
from fiqa_fast.training.distribution import Processes

_SHOWN = 10


def find_unusable(
    training_set: TrainingSet,
    console: Console,
    processes: Processes,
    *,
    check: bool,
    skip: bool,
) -> frozenset[int]:
    """Positions of the images that a training has to leave out; each process looks at a share.

    Args:
        training_set: crops.
        console: for the first process's messages.
        processes: that train together.
        check: whether to look.
        skip: whether to look, and to leave out what is found.

    Raises:
        InvalidArgumentError: some are unreadable and shall not be left out, or all are.
    """
    if not (check or skip):
        return frozenset()
    is_first = processes.rank == 0
    share = range(processes.rank, training_set.count, processes.count)
    found = find_unreadable(training_set, positions=share)
    shown = track(found, "images", len(share), console=console) if is_first else found
    mine = [(n, skipped.message) for n, skipped in shown if skipped is not None]
    unreadable = sorted(processes.gather(mine))
    if is_first:
        for position, message in unreadable[:_SHOWN]:
            console.print(f"{training_set.samples[position]}: {message}", soft_wrap=True)
        if skip and unreadable:
            console.print(
                f"leaving out {len(unreadable)} of {training_set.count} images: unreadable"
            )
    if len(unreadable) == training_set.count or (unreadable and not skip):
        raise InvalidArgumentError(
            f"train: expected readable images in {training_set.name}, got {len(unreadable)} that"
            f" are not, such as {training_set.samples[unreadable[0][0]]}; remove or replace them,"
            " or leave them out (--skip-unreadable)"
        )
    return frozenset(position for position, _ in unreadable)
