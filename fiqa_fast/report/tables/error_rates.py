"""Recognition without discarding: equal error rates and FNMR at FMR of every network."""

from __future__ import annotations

from collections.abc import Sequence

from fiqa_fast.evaluation.result import ErrorRatesRecord
from fiqa_fast.report.tables.model import Column, Row, Table, number_cell
from fiqa_fast.report.text import make_printable


def error_rate_tables(records: Sequence[ErrorRatesRecord]) -> list[Table]:
    """One table of all data sets; none without records."""
    if not records:
        return []
    rates = sorted({fmr for r in records for fmr in r.fnmr_at_fmr}, key=rate_order)
    rows = [
        Row(
            (make_printable(r.data_set), make_printable(r.verification_network)),
            (
                number_cell(r.mated_count, f"{r.mated_count:,}"),
                number_cell(r.non_mated_count, f"{r.non_mated_count:,}"),
                number_cell(r.eer),
                *(number_cell(r.fnmr_at_fmr.get(fmr)) for fmr in rates),
            ),
        )
        for r in records
    ]
    columns = (
        Column("mated", "Comparisons"),
        Column("non-mated", "Comparisons"),
        Column("EER"),
        *(Column(f"{make_printable(fmr)}", "FNMR at FMR") for fmr in rates),
    )
    heads = ("Data set", "Recognition network")
    return [Table("error-rates", {}, "Error rates without discarding", heads, columns, tuple(rows))]


def rate_order(text: str) -> tuple[float, str]:
    """Sorts rates that are given as text, the highest first."""
    try:
        return -float(text), text
    except ValueError:
        return 0.0, text
