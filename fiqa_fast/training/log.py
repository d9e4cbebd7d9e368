"""What a training tells while it runs: lines of numbers in a CSV file, TensorBoard and MLflow."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from fiqa_fast.errors import ResultsError, UnavailableError

FILE_NAME = "log.csv"
RUN_FILE = "mlflow_run.txt"
_COLUMNS = ("step", "name", "value")


class TrainingLog:
    """Numbers by step and name. Use it as a context manager.

    A training that goes on from a checkpoint writes some steps again: the lines behind the
    checkpoint are cut off first.

    Args:
        folder: for log.csv, TensorBoard's files, and the number of MLflow's run, which goes on when
            the training does.
        tensorboard: whether to write for TensorBoard too.
        mlflow: name of an experiment of MLflow, or None.
        writes: False on all processes but the first, which stay silent.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tensorboard: bool = False,
        mlflow: str | None = None,
        writes: bool = True,
    ) -> None:
        self._folder, self._experiment, self._writes = folder, mlflow, writes
        self._summaries = _tensorboard_writer(folder) if tensorboard and writes else None
        self._mlflow: Any = _mlflow() if mlflow is not None and writes else None
        self._file: TextIO | None = None

    def __enter__(self) -> TrainingLog:
        """Begins a run of MLflow, or goes on with it, where that is used."""
        if self._mlflow is not None:
            self._mlflow.set_experiment(self._experiment)
            known = self._folder / RUN_FILE
            before = known.read_text(encoding="utf-8") if known.exists() else None
            run = self._mlflow.start_run(run_id=before)
            known.write_text(run.info.run_id, encoding="utf-8")
        return self

    def begin(self, step: int) -> None:
        """Opens the file behind the lines of a step that is done.

        Raises:
            ResultsError: it cannot be written.
        """
        if not self._writes:
            return
        path = self._folder / FILE_NAME
        try:
            kept = _lines_until(path, step)
            self._file = path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise ResultsError(
                f"train: expected to be able to write {path}, got {error.strerror}; choose another"
                " folder"
            ) from error
        csv.writer(self._file, lineterminator="\n").writerows([_COLUMNS, *kept])

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes the numbers of a step; they reach the system at once."""
        if self._file is None:
            return
        rows = [(step, name, repr(value)) for name, value in values.items()]
        csv.writer(self._file, lineterminator="\n").writerows(rows)
        self._file.flush()
        if self._summaries is not None:
            for name, value in values.items():
                self._summaries.add_scalar(name, value, step)
        if self._mlflow is not None:
            # It takes names of these characters alone.
            named = {re.sub(r"[^\w/.\- :]", "_", name): value for name, value in values.items()}
            self._mlflow.log_metrics(named, step=step)

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """Closes everything; a run of MLflow that ended with an exception is marked as failed."""
        if self._file is not None:
            self._file.close()
        if self._summaries is not None:
            self._summaries.close()
        if self._mlflow is not None:
            self._mlflow.end_run("FINISHED" if kind is None else "FAILED")


def read_log(path: Path) -> dict[str, list[tuple[int, float]]]:
    """The numbers of a log by name: (step, value) in the order of the file."""
    found: dict[str, list[tuple[int, float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["name"], []).append((int(row["step"]), float(row["value"])))
    return found


def _lines_until(path: Path, step: int) -> list[list[str]]:
    """The whole lines of a log up to a step."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.reader(file) if len(line) == len(_COLUMNS)]
    return [line for line in lines[1:] if line[0].isdigit() and int(line[0]) <= step]


def _tensorboard_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UnavailableError(
            "train: expected the package tensorboard, got none; pip install 'fiqa-fast[train]', or"
            " leave tensorboard out of the recipe"
        ) from error
    return SummaryWriter(os.fspath(folder / "tensorboard"))


def _mlflow() -> Any:
    try:
        import mlflow
    except ImportError as error:
        raise UnavailableError(
            "train: expected the package mlflow, got none; pip install mlflow, or leave mlflow out"
            " of the recipe"
        ) from error
    return mlflow
