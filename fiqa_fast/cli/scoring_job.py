"""What every scoring run does, wherever the scores come from: rows, progress, summary, report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import typer
from rich.console import Console

from fiqa_fast.calibration import Calibration
from fiqa_fast.cli.exit_codes import ExitCode
from fiqa_fast.cli.progress import with_progress
from fiqa_fast.cli.summary import Summary
from fiqa_fast.explanation.writer import remove_explanations
from fiqa_fast.report.html import write_report
from fiqa_fast.results import Mode, ResultsWriter, ScoreRow, stored_path

REPORT = "report.html"
UNSCORED = "unscored.txt"
"""In the output folder: the images that a run left without rows when its server went away."""

_SHOWN = 10  # of those


class ScoringJob:
    """One run of `fiqa-fast score`.

    Args:
        paths: as the user named them.
        images: that they stand for.
        out: the output folder.
        mode: what to do with results that it holds.
        console: for messages.

    Attributes:
        explanations: folder for pictures, in the output folder.
    """

    def __init__(
        self, paths: Sequence[str], images: Iterable[str], out: Path, mode: Mode, console: Console
    ) -> None:
        self.explanations = out / "explanations"
        self._paths, self._images = paths, images
        self._out, self._mode = out, mode
        self._console = console
        self._todo: list[str] = []
        self._done = 0

    def list_unscored(self) -> None:
        """Tells which images have no rows yet, and lists them in the output folder."""
        missing = self._todo[self._done :]
        if not missing:
            return
        path = self._out / UNSCORED
        lines = "".join(f"{os.path.abspath(image)}\n" for image in missing)  # noqa: PTH100
        path.write_text(lines, encoding="utf-8", errors="surrogateescape")
        self._console.print(
            f"{len(missing)} of {len(self._todo)} images have no score yet; {path} lists them;"
            " what was scored is kept: continue with --resume",
            soft_wrap=True,
        )
        for image in missing[:_SHOWN]:
            self._console.print(f"without a score yet: {stored_path(image)}", soft_wrap=True)
        if len(missing) > _SHOWN:
            self._console.print(f"... and {len(missing) - _SHOWN} more")

    def run(
        self,
        score: Callable[[list[str]], Iterator[list[ScoreRow]]],
        settings: Mapping[str, Any],
        calibrations: Mapping[Path, Sequence[Calibration]],
        used: Sequence[Calibration],
    ) -> None:
        """Scores the images that have no rows yet, then writes the table and the report.

        Args:
            score: gives the rows of each image, in order.
            settings: everything that decides the numbers.
            calibrations: of each file that the user gave.
            used: the calibrations, given or packaged, that make the qualities.

        Raises:
            typer.Exit: the run was interrupted, or no image exists.
            ResultsError: the folder cannot be used.
        """
        for path, of_file in calibrations.items():
            if not any(c in used for c in of_file):
                self._console.print(f"calibration {path} fits none of the scores", soft_wrap=True)
        summary = Summary(used)
        writer = ResultsWriter(self._out, settings, self._mode)
        try:
            with writer:
                self._start(writer)
                rows = score(self._todo)
                for image_rows in with_progress(rows, len(self._todo), self._console):
                    writer.write_image(image_rows)
                    summary.add(image_rows)
                    self._done += 1
        except KeyboardInterrupt:
            self._console.print(
                f"interrupted: {self._done} images are scored and kept in {writer.csv_path};"
                " continue with --resume"
            )
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        self._report(writer)
        summary.show(Console())
        report = self._out / REPORT
        self._console.print(f"wrote {writer.parquet_path}, {writer.csv_path} and {report}")
        if summary.nothing_exists:
            self._console.print(f"nothing to score: no file behind {', '.join(self._paths)}")
            raise typer.Exit(ExitCode.NOTHING_TO_SCORE)

    def _start(self, writer: ResultsWriter) -> None:
        (self._out / UNSCORED).unlink(missing_ok=True)
        if self._mode == "overwrite":
            remove_explanations(self.explanations)
        # The names are listed before the first is scored: that gives the remaining time.
        self._todo = [p for p in self._images if stored_path(p) not in writer.finished_paths]
        if writer.finished_paths:
            count = len(writer.finished_paths)
            self._console.print(f"resuming: {count} images are already scored")

    def _report(self, writer: ResultsWriter) -> None:
        title = f"Face image quality: {', '.join(Path(p).name or p for p in self._paths)}"
        date = {"date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")}
        table = pq.read_table(writer.parquet_path)
        write_report(table, self._out / REPORT, title=title, settings=date)
