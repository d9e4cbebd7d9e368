"""Checkpoints that a kill at any moment cannot spoil.

Every rank writes a file of its own into a folder named by the step; the folder counts when the file
`complete` is in it, which rank 0 writes last. Files are flushed to the disk before they get their
name, and so is the folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from pickle import PickleError
from typing import Any

import torch

from fiqa_fast.errors import ResultsError
from fiqa_fast.training.distribution import Processes

_COMPLETE = "complete"
_KEPT = 2


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: for them; made if needed.
        processes: that train together.
        settings: everything that decides the numbers: a checkpoint of other settings is refused.
    """

    def __init__(self, folder: Path, processes: Processes, settings: Mapping[str, Any]) -> None:
        self._folder, self._processes = folder, processes
        self._settings = json.loads(json.dumps({**settings, "processes": processes.count}))

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Writes the state of this rank at a step, and forgets older checkpoints.

        Args:
            step: steps that are done.
            state: tensors, numbers, text, and containers of them.

        Raises:
            ResultsError: it cannot be written.
        """
        folder = self._folder / f"step-{step:09d}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_durably(folder / f"rank-{self._processes.rank}.pt", dict(state))
            self._processes.wait()
            if self._processes.rank == 0:
                write_durably(folder / _COMPLETE, self._settings)
                _flush(self._folder)
                for old in self._complete()[:-_KEPT]:
                    # Its mark first: a folder that is half removed must not count.
                    (old / _COMPLETE).unlink()
                    shutil.rmtree(old)
            self._processes.wait()
        except OSError as error:
            raise ResultsError(
                f"train: expected to be able to write {folder}, got {error.strerror}; make space,"
                " then start again: the last whole checkpoint is kept"
            ) from error

    def latest(self) -> dict[str, Any] | None:
        """The state of this rank in the last whole checkpoint; None where there is none.

        Raises:
            ResultsError: it is of a training with other settings or another number of processes, or
                damaged.
        """
        whole = self._complete()
        if not whole:
            return None
        folder = whole[-1]
        try:
            settings = torch.load(folder / _COMPLETE, weights_only=True)
            if settings != self._settings:
                names = sorted(settings.keys() | self._settings.keys())
                changed = [n for n in names if settings.get(n) != self._settings.get(n)]
                raise ResultsError(
                    f"train: expected the settings of the training in {self._folder} to go on with"
                    f" it, got others for {', '.join(changed)}; use the same, or another folder"
                )
            state: dict[str, Any] = torch.load(
                folder / f"rank-{self._processes.rank}.pt", weights_only=True
            )
        except (OSError, RuntimeError, EOFError, ValueError, PickleError) as error:
            raise ResultsError(
                f"train: expected a whole checkpoint in {folder}, got a damaged one"
                f" ({type(error).__name__}); remove this folder to go on from the one before"
            ) from error
        return state

    def _complete(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(f for f in self._folder.glob("step-*") if (f / _COMPLETE).exists())


def write_durably(path: Path, content: Any) -> None:
    """On the disk under its name, or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    _flush(path.parent)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
