"""Whether one method's area is smaller than another's, or only seems to be."""

from __future__ import annotations

from collections.abc import Sequence

from fiqa_fast.evaluation.result import PairedTestRecord
from fiqa_fast.report.choices import POLICIES, area_text, threshold_text
from fiqa_fast.report.tables.model import Cell, Column, Row, Table, number_cell
from fiqa_fast.report.text import make_printable


def paired_test_tables(
    records: Sequence[PairedTestRecord], max_rows: int | None = None
) -> list[Table]:
    """One table for each data set, operating point and area; the surest differences first.

    Args:
        records: the tests.
        max_rows: of more pairs than this, a table has the first (forty methods make 780 pairs).
    """
    groups: dict[tuple[tuple[str, str], ...], list[PairedTestRecord]] = {}
    for record in records:
        groups.setdefault(tuple(_options(record).items()), []).append(record)
    return [_table(dict(options), members, max_rows) for options, members in groups.items()]


def _options(record: PairedTestRecord) -> dict[str, str]:
    return {
        "Data set": make_printable(record.data_set),
        "Recognition network": make_printable(record.verification_network) or "not named",
        "Operating point": threshold_text(record.fmr),
        "Threshold": POLICIES.get(record.threshold_policy, record.threshold_policy),
        "Area": area_text(record.rule, record.limit),
    }


def _table(
    options: dict[str, str], records: Sequence[PairedTestRecord], max_rows: int | None
) -> Table:
    ordered = sorted(records, key=lambda record: record.p_value)
    shown = ordered[:max_rows]
    rows = [
        Row(
            (make_printable(r.method_a), make_printable(r.method_b)),
            (
                number_cell(r.difference),
                number_cell(r.low),
                number_cell(r.high),
                number_cell(r.p_value, _p_text(r.p_value)),
                Cell(_finding(r)),
            ),
        )
        for r in shown
    ]
    more = f" The first {len(shown):,} of {len(ordered):,} pairs." if shown != ordered else ""
    return Table(
        name="paired-tests",
        options=options,
        caption="Differences between areas, by paired bootstrap over the identities",
        heads=("Method A", "Method B"),
        columns=(
            Column("difference", "Area of A less area of B"),
            Column("low", "Area of A less area of B"),
            Column("high", "Area of A less area of B"),
            Column("p"),
            Column("Smaller area", words=True),
        ),
        rows=tuple(rows),
        remark=f"The p-values are not corrected for the number of pairs.{more}",
    )


def _p_text(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _finding(record: PairedTestRecord) -> str:
    """The method whose area is smaller beyond doubt of the interval."""
    if record.high < 0:
        return make_printable(record.method_a)
    if record.low > 0:
        return make_printable(record.method_b)
    return "no difference shown"
