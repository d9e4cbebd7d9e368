"""DET curves: false non-matches over false matches of every network, without discarding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fiqa_fast.evaluation.result import ErrorRatesRecord
from fiqa_fast.report.axes import Axis, log_axis
from fiqa_fast.report.choices import Figure
from fiqa_fast.report.line_chart import Series, draw_line_chart
from fiqa_fast.report.text import format_number, make_printable

X_LABEL, Y_LABEL = "FMR", "FNMR"


@dataclass(frozen=True)
class DetPlot:
    """What one chart shows, however it is drawn: the networks on one data set.

    Attributes:
        caption: what stands below.
    """

    data_set: str
    series: tuple[Series, ...]
    x_axis: Axis
    y_axis: Axis
    caption: str


def network_numbers(records: Sequence[ErrorRatesRecord]) -> dict[str, int]:
    """Number of each network's line style, by its printable name."""
    names = dict.fromkeys(make_printable(r.verification_network) for r in records)
    return {name: number for number, name in enumerate(names)}


def det_plots(records: Sequence[ErrorRatesRecord]) -> list[DetPlot]:
    """One chart for each data set that has a curve with an error."""
    numbers = network_numbers(records)
    plots = []
    for data_set in dict.fromkeys(record.data_set for record in records):
        members = [r for r in records if r.data_set == data_set]
        fmr = [v for r in members for v in r.det_fmr if 0 < v <= 1]
        fnmr = [v for r in members for v in r.det_fnmr if 0 < v <= 1]
        if not fmr or not fnmr:
            continue
        # A rate of 0 has no place on a logarithmic axis: it is drawn at the axis' end.
        series = [_series(r, numbers[make_printable(r.verification_network)]) for r in members]
        plots.append(
            DetPlot(
                data_set=make_printable(data_set),
                series=tuple(one for one in series if one.x),
                x_axis=log_axis(X_LABEL, min(fmr), 1.0),
                y_axis=log_axis(Y_LABEL, min(fnmr), 1.0),
                caption=(
                    f"{members[0].mated_count:,} mated, {members[0].non_mated_count:,} non-mated"
                    " comparisons; a rate of 0 is drawn at the end of its axis."
                ),
            )
        )
    return plots


def draw_det(plot: DetPlot, chart_id: str, records: Sequence[ErrorRatesRecord]) -> Figure:
    """Draws one chart for the page."""
    rates = ", ".join(
        f"{make_printable(r.verification_network)} {format_number(r.eer)}"
        for r in records
        if make_printable(r.data_set) == plot.data_set
    )
    drawing = draw_line_chart(
        plot.series,
        plot.x_axis,
        plot.y_axis,
        chart_id=chart_id,
        description=f"DET curves on {plot.data_set}; equal error rates: {rates}",
    )
    numbers = tuple(one.number for one in plot.series)
    return Figure({"Data set": plot.data_set}, plot.caption, drawing, numbers)


def _series(record: ErrorRatesRecord, number: int) -> Series:
    points = sorted(
        (fmr, -fnmr)
        for fmr, fnmr in zip(record.det_fmr, record.det_fnmr, strict=True)
        if 0 <= fmr <= 1 and 0 <= fnmr <= 1
    )
    return Series(
        number,
        make_printable(record.verification_network),
        tuple(fmr for fmr, _ in points),
        tuple(-fnmr for _, fnmr in points),
    )
