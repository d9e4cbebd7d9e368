"""Areas under the EDC curves: methods over data sets and operating points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fiqa_fast.evaluation.result import Area, CurveRecord
from fiqa_fast.report.choices import area_text, curve_options
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.tables.model import DASH, Cell, Column, Row, Table, mark_best
from fiqa_fast.report.text import format_number


def area_tables(curves: Sequence[CurveRecord], names: MethodNames) -> list[Table]:
    """One table for each rule and limit, network, policy, error and pair quality."""
    found: dict[tuple[tuple[str, str], ...], dict[tuple[str, str], dict[str, Cell]]] = {}
    for curve in curves:
        options = curve_options(curve)
        column = (options.pop("Data set"), options.pop("Operating point"))
        for area in curve.areas:
            chosen = {"Area": area_text(area.rule, area.limit), **options}
            columns = found.setdefault(tuple(chosen.items()), {})
            columns.setdefault(column, {})[names.of_curve(curve)] = area_cell(area)
    return [_table(dict(options), columns, names) for options, columns in found.items()]


def area_cell(area: Area) -> Cell:
    """Value, interval, and how it compares with discarding at random."""
    if not math.isfinite(area.value):
        return Cell(DASH)
    relative = _finite(area.normalised)
    return Cell(
        format_number(area.value),
        area.value,
        _finite(area.low),
        _finite(area.high),
        relative,
        "" if relative is None else _verdict(relative, _finite(area.normalised_high)),
    )


def _verdict(relative: float, high: float | None) -> str:
    if relative >= 1:
        return "worse"
    if high is None:
        return "below"
    return "better" if high < 1 else "open"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _table(
    options: Mapping[str, str],
    columns: Mapping[tuple[str, str], Mapping[str, Cell]],
    names: MethodNames,
) -> Table:
    keys = list(columns)
    data_sets = list(dict.fromkeys(data_set for data_set, _ in keys))
    keys.sort(key=lambda key: data_sets.index(key[0]))
    methods = names.numbered(name for column in columns.values() for name in column)
    rows = [
        Row((name,), tuple(columns[key].get(name, Cell(DASH)) for key in keys))
        for _, name in methods
    ]
    return Table(
        name="areas",
        options=options,
        caption=f"Area under the {options['Error']} EDC",
        heads=("Method",),
        columns=tuple(Column(point, data_set) for data_set, point in keys),
        rows=mark_best(rows, smallest=[True] * len(keys)),
    )
