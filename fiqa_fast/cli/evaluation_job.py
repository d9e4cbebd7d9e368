"""What every evaluation does, whatever the data set: scores, embeddings, result, report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.cli.exit_codes import ExitCode
from fiqa_fast.cli.make_scorers import run_settings
from fiqa_fast.cli.output_folder import make_folder
from fiqa_fast.cli.progress import sample_bar
from fiqa_fast.errors import ResultsError
from fiqa_fast.evaluation.embeddings import Augmentation, Embeddings, compute_embeddings
from fiqa_fast.evaluation.face_finder import face_finder
from fiqa_fast.evaluation.inputs import MethodScores
from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.evaluation.result import (
    FILE_NAME,
    EvaluationResult,
    RuntimeRecord,
    join_results,
    write_result,
)
from fiqa_fast.evaluation.sample_scores import methods_of_table, runtimes_of_table, score_samples
from fiqa_fast.report.evaluation_page import write_evaluation_report
from fiqa_fast.results import Mode, ResultsWriter
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.version import __version__

REPORT = "report.html"
EMBEDDINGS = "embeddings"
_SHOWN = 5  # reasons


class EvaluationJob:
    """One run of `fiqa-fast evaluate` or `fiqa-fast benchmark quality`.

    Args:
        out: the output folder: holds scores, embeddings, evaluation.json and report.html.
        mode: what to do with results that it holds.
        console: for messages.
    """

    def __init__(self, out: Path, mode: Mode, console: Console) -> None:
        self._out, self._mode, self._console = out, mode, console
        self._runtimes: list[RuntimeRecord] = []
        self._tables: list[pa.Table] = []
        if mode == "new" and (out / FILE_NAME).exists():
            raise ResultsError(
                f"evaluate: expected a folder without results, got {out}, which holds {FILE_NAME};"
                " overwrite it, or choose another folder (--overwrite, -o)"
            )
        make_folder(out, "evaluate")

    def progress(self, text: str) -> None:
        """Says what is being computed."""
        self._console.print(text, soft_wrap=True)

    def score(
        self,
        protocol: Protocol | TemplateProtocol,
        scorers: Sequence[Scorer],
        folder: Path,
        *,
        all_outputs: bool = False,
        settings: Mapping[str, Any],
    ) -> list[MethodScores]:
        """Scores the samples of a protocol; what an interrupted run has scored is kept.

        Args:
            protocol: with its images.
            scorers: the methods.
            folder: for the table.
            all_outputs: every output of each method.
            settings: what decides the scores, beside the methods.

        Raises:
            typer.Exit: the run was interrupted.
            ResultsError: the folder cannot be used.
        """
        table = score_into(
            folder,
            protocol,
            scorers,
            self._console,
            mode=self._mode,
            settings=settings,
            how_to_go_on="continue with --resume",
            all_outputs=all_outputs,
        )
        self._tables.append(table)
        self._runtimes += runtimes_of_table(table)
        return methods_of_table(table, protocol, str(folder))

    def embed(
        self,
        protocol: Protocol | TemplateProtocol,
        network: Backbone,
        label: str,
        augmentation: Augmentation,
    ) -> Embeddings:
        """The embeddings of all samples; kept in the output folder, computed once."""
        with sample_bar(self._console) as bar:
            task = bar.add_task(f"embedding {protocol.name}", total=len(protocol.samples))
            found = compute_embeddings(
                protocol,
                network,
                augmentation=augmentation,
                cache_folder=self._out / EMBEDDINGS,
                on_batch=lambda done: bar.update(task, completed=done),
            )
        if found.reasons:
            self._console.print(f"{len(found.reasons)} samples have no embedding by {label}:")
            for sample, reason in list(found.reasons.items())[:_SHOWN]:
                self._console.print(f"  {sample}: {reason}", soft_wrap=True)
        return found

    def finish(
        self, title: str, settings: Mapping[str, str], parts: Sequence[EvaluationResult]
    ) -> None:
        """Writes evaluation.json and the report, and says where they are."""
        facts = {
            **settings,
            "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            "version": __version__,
        }
        runtimes = EvaluationResult(title="", runtimes=tuple(dict.fromkeys(self._runtimes)))
        result = join_results(title, facts, [*parts, runtimes])
        write_result(result, self._out / FILE_NAME)
        table = pa.concat_tables(self._tables) if self._tables else None
        write_evaluation_report([result], table, self._out / REPORT, title=title)
        self._console.print(f"wrote {self._out / FILE_NAME} and {self._out / REPORT}")


def score_into(
    folder: Path,
    protocol: Protocol | TemplateProtocol,
    scorers: Sequence[Scorer],
    console: Console,
    *,
    mode: Mode,
    settings: Mapping[str, Any],
    how_to_go_on: str,
    all_outputs: bool = False,
) -> pa.Table:
    """Scores the samples of a protocol into a folder, with a bar; gives the table.

    Args:
        folder: for the table.
        protocol: with its images.
        scorers: the methods.
        console: for the bar and messages.
        mode: what to do with a table that is there; "resume" begins where there is none.
        settings: what decides the scores, beside the methods.
        how_to_go_on: after an interruption, in words.
        all_outputs: every output of each method.

    Raises:
        typer.Exit: the run was interrupted.
        ResultsError: the folder cannot be used.
    """
    begun = (folder / "run.json").exists()
    writer = ResultsWriter(
        folder,
        run_settings(scorers, all_outputs=all_outputs, **settings),
        "new" if mode == "resume" and not begun else mode,
    )
    try:
        with writer, sample_bar(console) as bar:
            task = bar.add_task(f"scoring {protocol.name}", total=len(protocol.samples))
            steps = score_samples(
                protocol,
                scorers,
                writer,
                finder=face_finder(protocol),
                all_outputs=all_outputs,
            )
            for done in steps:
                bar.update(task, completed=done)
    except KeyboardInterrupt:
        console.print(f"interrupted: what was scored is kept in {writer.csv_path}; {how_to_go_on}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    return pq.read_table(writer.parquet_path)


def folder_name(data_set: str) -> str:
    """The name of a data set as that of a folder."""
    return re.sub(r"[^a-z0-9]+", "_", data_set.lower()).strip("_") or "data"
