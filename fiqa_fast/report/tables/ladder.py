"""How closely every method follows each degradation."""

from __future__ import annotations

from collections.abc import Sequence

from fiqa_fast.evaluation.result import LadderRecord
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.tables.model import Cell, Column, Row, Table, mark_best, number_cell
from fiqa_fast.report.text import make_printable


def ladder_tables(records: Sequence[LadderRecord], names: MethodNames) -> list[Table]:
    """One table of methods over degradations; none without records."""
    if not records:
        return []
    degradations = list(dict.fromkeys(record.degradation for record in records))
    values = {(make_printable(r.method), r.degradation): r.spearman for r in records}
    methods = names.numbered(make_printable(record.method) for record in records)
    rows = [
        Row((name,), tuple(_cell(values.get((name, degradation))) for degradation in degradations))
        for _, name in methods
    ]
    columns = tuple(Column(make_printable(degradation)) for degradation in degradations)
    return [
        Table(
            name="ladder",
            options={},
            caption="Spearman's rank correlation of score and level",
            heads=("Method",),
            columns=columns,
            rows=mark_best(rows, smallest=[True] * len(columns)),
            remark=(
                "\N{MINUS SIGN}1: every score falls from level to level; 0: no relation;"
                " above 0: the method prefers degraded crops."
            ),
        )
    ]


def _cell(value: float | None) -> Cell:
    return number_cell(value, "" if value is None else f"{value:.3f}".replace("-", "\u2212"))
