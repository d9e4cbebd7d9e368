"""What a table is, before it becomes HTML, CSV or LaTeX."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fiqa_fast.report.choices import Options
from fiqa_fast.report.text import format_number

DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Source:
    """Where published values stand.

    Attributes:
        mark: a letter that is unique in the table.
        text: paper and table.
    """

    mark: str
    text: str


@dataclass(frozen=True)
class Published:
    """What a paper prints for the same measurement.

    Attributes:
        relative: whether it compares with the cell's `relative` rather than its `value`.
    """

    value: float
    source: Source
    relative: bool = False

    @property
    def text(self) -> str:
        """As printed; with a sign where it is a share of random discarding."""
        return f"{self.value:g}\N{MULTIPLICATION SIGN}" if self.relative else f"{self.value:g}"


@dataclass(frozen=True)
class Cell:
    """One entry.

    Attributes:
        text: as it is shown.
        value: the number behind it; None for words, and where there is none.
        low, high: its confidence interval.
        relative: `value` over that of random discarding.
        verdict: about `relative`: "better" (below 1 with its whole interval), "below"
            (the value is, and no interval says more), "open" (the value is, its interval is not),
            "worse", or "".
        best: whether it is the best of its column.
        change: by which part of itself the number changed against that of another row.
        published: what papers print for it.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    verdict: str = ""
    best: bool = False
    change: float | None = None
    published: tuple[Published, ...] = ()

    @property
    def change_text(self) -> str:
        """In percent, with its sign; or ""."""
        if self.change is None:
            return ""
        return f"{self.change:+.1%}".replace("-", "\N{MINUS SIGN}")

    @property
    def interval(self) -> str:
        """Its ends in brackets, or ""."""
        if self.low is None or self.high is None:
            return ""
        return f"[{format_number(self.low, 3)}, {format_number(self.high, 3)}]"


@dataclass(frozen=True)
class Column:
    """A column of cells.

    Attributes:
        group: heading that stands over this and its neighbours of the same group; "" for none.
        words: whether its cells are words, which stand to the left.
    """

    label: str
    group: str = ""
    words: bool = False


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        heads: one for each of the table's `heads`.
        cells: one for each column.
    """

    heads: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: a word for files, such as "areas".
        options: what a reader chooses it by, the same names for all tables of one name.
        caption: what it shows.
        heads: names of what stands at the beginning of each row.
        remark: what a reader must know about it, or "".
        sources: of published values in its cells.
    """

    name: str
    options: Options
    caption: str
    heads: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    remark: str = ""
    sources: tuple[Source, ...] = ()

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Headings over the columns and how many columns each spans."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans


def number_cell(value: float | None, text: str = "") -> Cell:
    """A cell of a number; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return Cell(DASH)
    return Cell(text or format_number(value), value)


def columns_in_groups(places: Iterable[tuple[str, str]]) -> tuple[Column, ...]:
    """Columns of distinct (group, label), those of one group together, as they first appear."""
    labels: dict[str, dict[str, None]] = {}
    for group, label in places:
        labels.setdefault(group, {})[label] = None
    return tuple(Column(label, group) for group, of_group in labels.items() for label in of_group)


def mark_best(rows: Sequence[Row], *, smallest: Sequence[bool]) -> tuple[Row, ...]:
    """Marks the best of every column that has at least two numbers; equal ones are all best.

    Args:
        rows: of a table.
        smallest: for each column whether the smallest number is the best.
    """
    marked = [list(row.cells) for row in rows]
    for position, low_is_good in enumerate(smallest):
        numbers = [cell.value for row in rows if (cell := row.cells[position]).value is not None]
        if len(numbers) < 2:
            continue
        best = min(numbers) if low_is_good else max(numbers)
        for cells in marked:
            if cells[position].value == best:
                cells[position] = replace(cells[position], best=True)
    return tuple(Row(row.heads, tuple(cells)) for row, cells in zip(rows, marked, strict=True))
