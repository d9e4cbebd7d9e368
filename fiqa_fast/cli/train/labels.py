"""Labels of training samples: read from a file, made by a scorer, optimised."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv
from rich.console import Console
from rich.progress import Progress

from fiqa_fast.cli.evaluation_job import score_into
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.inputs import MethodScores
from fiqa_fast.evaluation.sample_scores import methods_of_table
from fiqa_fast.evaluation.score_files import read_scores
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.label_optimization import optimise_labels
from fiqa_fast.training.samples import as_protocol


def read_labels(path: Path, method: str | None, training_set: TrainingSet) -> MethodScores:
    """The scores of one method of a file.

    Raises:
        InvalidArgumentError: the file cannot be used, or has no such method, or several.
    """
    return _pick(read_scores(path, as_protocol(training_set)), method)


def score_labels(
    training_set: TrainingSet, scorer: Scorer, folder: Path, console: Console
) -> MethodScores:
    """Scores a training set; what an interrupted run has scored is kept.

    Args:
        training_set: crops.
        scorer: the method.
        folder: for the table of scores.
        console: for progress and messages.

    Raises:
        typer.Exit: the run was interrupted.
        ResultsError: the folder cannot be used, or holds scores made otherwise.
    """
    samples = as_protocol(training_set)
    table = score_into(
        folder,
        samples,
        [scorer],
        console,
        mode="resume",
        settings={"training_set": training_set.name},
        how_to_go_on="start again to go on",
    )
    return _pick(methods_of_table(table, samples, str(folder)), None)


def optimise(
    labels: MethodScores,
    embeddings: npt.NDArray[Any],
    training_set: TrainingSet,
    unfinished: Path,
    console: Console,
    **settings: Any,
) -> MethodScores:
    """Labels in their optimised order; samples without label or embedding keep what they have.

    Args:
        labels: before.
        embeddings: float [S, D]; NaN where there is none.
        training_set: whose samples they are of.
        unfinished: folder from which an interrupted run goes on; removed at the end.
        console: for progress.
        settings: of `optimise_labels`.
    """
    values = labels.raw_scores if labels.higher_is_better else -labels.raw_scores
    usable = np.isfinite(values) & np.isfinite(embeddings[:, 0])
    complete = bool(usable.all())
    with Progress(console=console) as bar:
        tasks = {step: bar.add_task(step) for step in ("clusters", "repeats")}

        def show(step: str, done: int, total: int) -> None:
            bar.update(tasks[step], completed=done, total=total)

        optimised = optimise_labels(
            values if complete else values[usable],
            embeddings if complete else embeddings[usable],
            training_set.identity if complete else training_set.identity[usable],
            checkpoint_folder=unfinished,
            on_progress=show,
            **settings,
        )
    shutil.rmtree(unfinished, ignore_errors=True)
    result = values.copy()
    result[usable] = optimised.quality
    return replace(
        labels,
        method=f"{labels.method}+opt",
        raw_scores=result if labels.higher_is_better else -result,
    )


def write_labels(path: Path, training_set: TrainingSet, labels: MethodScores) -> None:
    """As a CSV file (sample,METHOD), which `read_labels` and `fiqa-fast evaluate` take."""
    values = pa.array(labels.raw_scores, from_pandas=True)  # nothing where there is none
    table = pa.table({"sample": list(training_set.samples), labels.method: values})
    pacsv.write_csv(table, path)


def require_all(labels: MethodScores, training_set: TrainingSet) -> None:
    """Raises InvalidArgumentError where a sample has no label."""
    missing = int(np.isnan(labels.raw_scores).sum())
    if missing:
        raise InvalidArgumentError(
            f"train: expected a label for each of the {training_set.count} samples of"
            f" {training_set.name}, got none for {missing}; score them, or remove their images"
        )


def _pick(found: Sequence[MethodScores], method: str | None) -> MethodScores:
    methods = {scores.method: scores for scores in found}
    if method is None and len(methods) == 1:
        method = next(iter(methods))
    if method not in methods:
        raise InvalidArgumentError(
            f"train: expected --method to be one of {', '.join(methods)}, got {method!r}; name the"
            " one whose scores are the labels"
        )
    return methods[method]
