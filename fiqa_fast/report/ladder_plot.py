"""How the scores of every method fall as a crop is degraded: one small chart per degradation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fiqa_fast.evaluation.result import LadderRecord
from fiqa_fast.report.axes import Axis
from fiqa_fast.report.choices import Figure
from fiqa_fast.report.line_chart import SMALL, Series, draw_line_chart
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.text import format_number, make_printable


def draw_ladder(records: Sequence[LadderRecord], names: MethodNames) -> list[Figure]:
    """Draws a chart of mean ranks over levels for each degradation."""
    figures: list[Figure] = []
    for degradation in dict.fromkeys(record.degradation for record in records):
        members = [record for record in records if record.degradation == degradation]
        series = [one for one in (_series(record, names) for record in members) if one.x]
        if not series:
            continue
        name = make_printable(degradation)
        ends = ", ".join(f"{one.name} {format_number(one.y[-1])}" for one in series)
        highest = max(max(one.x) for one in series)
        drawing = draw_line_chart(
            series,
            Axis("level", 0.0, highest or 1.0),
            Axis("mean rank", 0.0, 1.0),
            chart_id=f"ladder-{len(figures)}",
            description=f"Mean rank over the levels of {name}; at the last level: {ends}",
            layout=SMALL,
        )
        numbers = tuple(one.number for one in series)
        figures.append(Figure({"Degradation": name}, name, drawing, numbers))
    return figures


def _series(record: LadderRecord, names: MethodNames) -> Series:
    points = [
        (float(level), rank)
        for level, rank in zip(record.levels, record.mean_rank, strict=True)
        if math.isfinite(rank)
    ]
    name = make_printable(record.method)
    return Series(
        names.number(name), name, tuple(x for x, _ in points), tuple(y for _, y in points)
    )
