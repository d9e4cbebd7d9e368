"""Template verification: TAR at FAR for every method that weighs the images."""

from __future__ import annotations

from collections.abc import Sequence

from fiqa_fast.evaluation.result import TemplateRecord
from fiqa_fast.report.tables.error_rates import rate_order
from fiqa_fast.report.tables.model import Column, Row, Table, mark_best, number_cell
from fiqa_fast.report.text import make_printable


def template_tables(records: Sequence[TemplateRecord]) -> list[Table]:
    """One table for each data set and recognition network."""
    groups: dict[tuple[str, str], list[TemplateRecord]] = {}
    for record in records:
        groups.setdefault((record.data_set, record.verification_network), []).append(record)
    tables = []
    for (data_set, network), members in groups.items():
        rates = sorted({far for r in members for far in r.tar_at_far}, key=rate_order)
        rows = [
            Row(
                (make_printable(r.weighting) or "no weighting",),
                tuple(number_cell(r.tar_at_far.get(far)) for far in rates),
            )
            for r in members
        ]
        first = members[0]
        tables.append(
            Table(
                name="templates",
                options={
                    "Data set": make_printable(data_set),
                    "Recognition network": make_printable(network),
                },
                caption="TAR at FAR of templates pooled by quality",
                heads=("Weighting",),
                columns=tuple(Column(make_printable(far), "TAR at FAR") for far in rates),
                rows=mark_best(rows, smallest=[False] * len(rates)),
                remark=(
                    f"{first.template_count:,} templates, {first.mated_count:,} mated and"
                    f" {first.non_mated_count:,} non-mated comparisons."
                ),
            )
        )
    return tables
