"""Tables as CSV: plain numbers at full precision, what is beside them in columns of its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from fiqa_fast.report.tables.model import DASH, Cell, Source, Table

_RELATIVE = "relative to random"
_EXTRAS = (
    ("low", "low"),
    ("high", "high"),
    ("relative", _RELATIVE),
    ("change", "relative change"),
)
"""Attributes of a cell that get a column where any cell has them."""


def table_as_csv(table: Table) -> str:
    """One line for each row; the first line names the columns."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    extras = [
        [(name, label) for name, label in _EXTRAS if _any_has(table, position, name)]
        for position in range(len(table.columns))
    ]
    published = [_published(table, position) for position in range(len(table.columns))]
    header = list(table.heads)
    for column, more, printed in zip(table.columns, extras, published, strict=True):
        label = " ".join(filter(None, (column.group, column.label)))
        names = [*(extra for _, extra in more), *map(_published_name, printed)]
        header += [label, *(f"{label} {name}" for name in names)]
    writer.writerow(header)
    for row in table.rows:
        line = list(row.heads)
        for cell, more, printed in zip(row.cells, extras, published, strict=True):
            values = {(one.source, one.relative): repr(one.value) for one in cell.published}
            line += [_text(cell), *_more(cell, more), *(values.get(key, "") for key in printed)]
        writer.writerow(line)
    return written.getvalue()


def _any_has(table: Table, position: int, name: str) -> bool:
    return any(getattr(row.cells[position], name) is not None for row in table.rows)


def _published(table: Table, position: int) -> list[tuple[Source, bool]]:
    """Distinct sources of published values in a column, and whether these are relative."""
    cells = (row.cells[position] for row in table.rows)
    return list(dict.fromkeys((one.source, one.relative) for c in cells for one in c.published))


def _published_name(key: tuple[Source, bool]) -> str:
    source, relative = key
    return f"{f'{_RELATIVE}, ' if relative else ''}published in {source.text}"


def _text(cell: Cell) -> str:
    if cell.value is not None:
        return repr(cell.value)
    return "" if cell.text == DASH else cell.text


def _more(cell: Cell, extras: list[tuple[str, str]]) -> Iterator[str]:
    for name, _ in extras:
        value = getattr(cell, name)
        yield "" if value is None else repr(value)
