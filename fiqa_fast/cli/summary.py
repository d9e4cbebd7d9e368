"""What a scoring run prints at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from fiqa_fast.calibration import Calibration
from fiqa_fast.results import ScoreRow
from fiqa_fast.types import FailureReason


class Summary:
    """What is printed at the end: numbers per method (quality and time: medians), and failures.

    Args:
        calibrations: those that give the qualities.
    """

    def __init__(self, calibrations: Sequence[Calibration]) -> None:
        self.images = 0
        self._calibrations = calibrations
        self._scores: dict[tuple[str, str], list[tuple[float, float | None, float]]] = {}
        self._failures: Counter[str] = Counter()

    def add(self, rows: Sequence[ScoreRow]) -> None:
        """Takes in the rows of one image."""
        self.images += 1
        for row in rows:
            column = self._scores.setdefault((row.score.scorer, row.score.output), [])
            if row.score.raw_score is not None and row.elapsed_ms is not None:
                column.append((row.score.raw_score, row.score.quality, row.elapsed_ms))
        for reason in {row.reason for row in rows if row.reason}:
            self._failures[reason] += 1

    @property
    def nothing_exists(self) -> bool:
        """Whether there was no file behind any of the names."""
        return self.images > 0 and self._failures[FailureReason.FILE_NOT_FOUND] == self.images

    def show(self, console: Console) -> None:
        """Prints the table, the faces below recommended thresholds, and the failures."""
        table = Table(title=f"{self.images} images", title_justify="left")
        table.add_column("method", no_wrap=True)
        for heading in ("faces", "raw min", "median", "max", "quality", "ms/face"):
            table.add_column(heading, justify="right", no_wrap=True)
        for (scorer, output), column in self._scores.items():
            name = scorer if output == "score" else f"{scorer} {output}"
            if not column:
                table.add_row(name, "0", *[""] * 5)
                continue
            raw = np.array([value for value, _, _ in column])
            qualities = [quality for _, quality, _ in column if quality is not None]
            table.add_row(
                name,
                str(len(column)),
                *(f"{v:.4g}" for v in (raw.min(), np.median(raw), raw.max())),
                f"{np.median(qualities):.1f}" if qualities else "none",
                f"{np.median([ms for _, _, ms in column]):.1f}",
            )
        console.print(table)
        for calibration in self._calibrations:
            self._show_threshold(calibration, console)
        for reason, count in self._failures.most_common():
            console.print(f"without a score: {count} images, {reason}")

    def _show_threshold(self, calibration: Calibration, console: Console) -> None:
        source, discard = calibration.source, calibration.discard
        if discard is None or discard.quality is None:
            return
        column = self._scores.get((source.scorer, source.output), [])
        below = sum(calibration.is_below_threshold(raw) for raw, _, _ in column)
        console.print(
            f"{source.name}: {below} of {len(column)} faces are below the recommended quality"
            f" {discard.quality:.1f}"
        )
