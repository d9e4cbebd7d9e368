"""Tables as CSV: plain numbers at full precision, intervals in columns of their own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from fiqa_fast.report.tables.model import DASH, Cell, Table

_EXTRAS = (("low", "low"), ("high", "high"), ("relative", "relative to random"))
"""Attributes of a cell that get a column where any cell has them."""


def table_as_csv(table: Table) -> str:
    """One line for each row; the first line names the columns."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    extras = [
        [(name, label) for name, label in _EXTRAS if _any_has(table, position, name)]
        for position in range(len(table.columns))
    ]
    header = list(table.heads)
    for column, more in zip(table.columns, extras, strict=True):
        label = " ".join(filter(None, (column.group, column.label)))
        header += [label, *(f"{label} {extra}" for _, extra in more)]
    writer.writerow(header)
    for row in table.rows:
        line = list(row.heads)
        for cell, more in zip(row.cells, extras, strict=True):
            line += [_text(cell), *_more(cell, more)]
        writer.writerow(line)
    return written.getvalue()


def _any_has(table: Table, position: int, name: str) -> bool:
    return any(getattr(row.cells[position], name) is not None for row in table.rows)


def _text(cell: Cell) -> str:
    if cell.value is not None:
        return repr(cell.value)
    return "" if cell.text == DASH else cell.text


def _more(cell: Cell, extras: list[tuple[str, str]]) -> Iterator[str]:
    for name, _ in extras:
        value = getattr(cell, name)
        yield "" if value is None else repr(value)
