"""Ranks of quality labels before and after their optimisation, as a scatter.

As in Ž. Babnik et al., "Optimization-Based Improvement of Face Image Quality Assessment Techniques"
(IWBF 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from fiqa_fast.evaluation.result import LabelChangeRecord
from fiqa_fast.report.axes import Axis
from fiqa_fast.report.choices import Figure, Options
from fiqa_fast.report.line_chart import Layout, draw_axes
from fiqa_fast.report.text import make_printable

_LONGEST_NAME = 32  # letters along an axis
_SQUARE = Layout(454, 436, 74, 20, 14, 62, 5, 5)


@dataclass(frozen=True)
class LabelChangePlot:
    """What one scatter shows, however it is drawn.

    Attributes:
        options: what the reader chooses it by.
        x, y: ranks before and after, 0..1.
        x_axis, y_axis: their axes.
        caption: what stands below.
    """

    options: Options
    x: tuple[float, ...]
    y: tuple[float, ...]
    x_axis: Axis
    y_axis: Axis
    caption: str


def label_change_plots(records: Sequence[LabelChangeRecord]) -> list[LabelChangePlot]:
    """One scatter for each record."""
    plots = []
    for record in records:
        before, after = make_printable(record.before), make_printable(record.after)
        plots.append(
            LabelChangePlot(
                options={
                    "Data set": make_printable(record.data_set),
                    "Labels": f"{before} \N{RIGHTWARDS ARROW} {after}",
                },
                x=record.before_rank,
                y=record.after_rank,
                x_axis=Axis(f"rank by {_shorten(before)}", 0.0, 1.0),
                y_axis=Axis(f"rank by {_shorten(after)}", 0.0, 1.0),
                caption=_caption(record),
            )
        )
    return plots


def draw_label_change(plot: LabelChangePlot) -> Figure:
    """Draws one scatter for the page."""
    names = ", ".join(plot.options.values())
    left, top = _SQUARE.left, _SQUARE.top
    width, height = _SQUARE.plot_width, _SQUARE.plot_height
    points = "".join(
        f"M{left + width * plot.x_axis.place(x):.1f}"
        f" {top + height * (1 - plot.y_axis.place(y)):.1f}h0"
        for x, y in zip(plot.x, plot.y, strict=True)
    )
    drawing = Markup(  # every text in it is a number or escaped
        f'<svg class="chart scatter" viewBox="0 0 {_SQUARE.width} {_SQUARE.height}" role="img"'
        f' aria-label="{escape(f"Ranks before and after, {names}: {plot.caption}")}">'
        f"{draw_axes(plot.x_axis, plot.y_axis, _SQUARE)}"
        f'<path class="points" d="{points}"/>'
        f'<g class="level"><title>unmoved</title>'
        f'<path d="M{left} {top + height}l{width} -{height}"/></g></svg>'
    )
    return Figure(plot.options, plot.caption, drawing)


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}\u2026"


def _caption(record: LabelChangeRecord) -> str:
    rho = "none" if record.spearman is None else f"{record.spearman:.3f}".replace("-", "\u2212")
    drawn = len(record.before_rank)
    return (
        f"{record.count:,} samples, {100 * record.moved_fraction:.1f}% of them moved; Spearman's"
        f" rho {rho}" + (f"; {drawn:,} drawn by chance." if drawn < record.count else ".")
    )
