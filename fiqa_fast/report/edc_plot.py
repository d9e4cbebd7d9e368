"""The EDC curves of all methods on one data set, as one chart for each choice of the reader."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiqa_fast.evaluation.result import CurveRecord
from fiqa_fast.report.axes import Axis
from fiqa_fast.report.choices import Figure, Options, curve_options
from fiqa_fast.report.line_chart import Series, draw_line_chart
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.text import format_number

RANDOM = "random discarding"


@dataclass(frozen=True)
class EdcPlot:
    """What one chart shows, however it is drawn.

    Attributes:
        options: what the reader chooses it by.
        series: one for each method.
        error: "fnmr" or "fmr".
        start: error rate without discarding: what random discarding leaves.
        right: the largest discard fraction.
        top: upper end of the axis of error rates.
        caption: what stands below.
    """

    options: Options
    series: tuple[Series, ...]
    error: str
    start: float
    right: float
    top: float
    caption: str

    @property
    def x_label(self) -> str:
        """Of the horizontal axis."""
        return "discarded fraction of comparisons"

    @property
    def y_label(self) -> str:
        """Of the vertical axis."""
        return self.error.upper()


def edc_plots(curves: Sequence[CurveRecord], names: MethodNames) -> list[EdcPlot]:
    """Groups curves into charts, in the order of their first appearance."""
    groups: dict[tuple[tuple[str, str], ...], list[CurveRecord]] = {}
    for curve in curves:
        groups.setdefault(tuple(curve_options(curve).items()), []).append(curve)
    plots = []
    for options, members in groups.items():
        series = [_series(curve, names) for curve in members]
        drawn = [one for one in series if one.x]
        if drawn:
            plots.append(_plot(dict(options), members, drawn))
    return plots


def draw_edc(plot: EdcPlot, chart_id: str) -> Figure:
    """Draws one chart for the page."""
    drawing = draw_line_chart(
        plot.series,
        Axis(plot.x_label, 0.0, plot.right),
        Axis(plot.y_label, 0.0, plot.top),
        chart_id=chart_id,
        description=_description(plot),
        level=plot.start,
        level_name=RANDOM,
    )
    return Figure(plot.options, plot.caption, drawing, tuple(one.number for one in plot.series))


def _series(curve: CurveRecord, names: MethodNames) -> Series:
    name = names.of_curve(curve)
    pairs = zip(curve.discard_fraction, curve.error_rate, strict=True)
    points = np.array([p for p in pairs if all(map(math.isfinite, p))]).reshape(-1, 2)
    if curve.threshold_policy == "fixed":
        # An error rate holds until the next point: each distinct quality is a step. Where nothing
        # is left there is no rate, so the last step, down to (1, 0), is not drawn.
        ends_empty = len(points) > 1 and tuple(points[-1]) == (1.0, 0.0)
        x, y = np.repeat(points[:, 0], 2)[1:], np.repeat(points[:, 1], 2)[:-1]
        x, y = (x[:-1], y[:-1]) if ends_empty else (x, y)
    else:
        x, y = points.T
    return Series(names.number(name), name, tuple(x.tolist()), tuple(y.tolist()))


def _plot(options: Options, curves: Sequence[CurveRecord], series: Sequence[Series]) -> EdcPlot:
    start = Counter(one.y[0] for one in series).most_common(1)[0][0]
    highest = max(max(one.y) for one in series)
    # Of the last few comparisons any fraction may be wrong: that would flatten everything else.
    top = 1.05 * min(highest, 2 * start if start > 0 else highest) or 0.001
    first = curves[0]
    counts = f"{first.mated_count:,} mated, {first.non_mated_count:,} non-mated comparisons"
    threshold = (
        f"decision threshold {format_number(first.decision_threshold)}"
        if first.threshold_policy == "fixed"
        else "decision threshold chosen anew among the comparisons that are left"
    )
    beyond = " Curves above the picture's edge go on there." if highest > top else ""
    return EdcPlot(
        options=options,
        series=tuple(series),
        error=first.error,
        start=start,
        right=max(max(one.x) for one in series) or 1.0,
        top=top,
        caption=f"{counts}; {threshold}.{beyond}",
    )


def _description(plot: EdcPlot) -> str:
    at_20 = sorted((float(np.interp(0.2, one.x, one.y)), one.name) for one in plot.series)
    lowest = ", ".join(f"{name} {format_number(value)}" for value, name in at_20[:3])
    return (
        f"Error versus discard curves of {len(plot.series)}"
        f" {'method' if len(plot.series) == 1 else 'methods'} on {plot.options['Data set']}:"
        f" {plot.y_label} is {format_number(plot.start)} without discarding; lowest with 20 %"
        f" discarded: {lowest}"
    )
