"""What the curves were made of: comparisons and decision thresholds."""

from __future__ import annotations

from collections.abc import Sequence

from fiqa_fast.evaluation.result import CurveRecord
from fiqa_fast.report.choices import POLICIES, threshold_text
from fiqa_fast.report.tables.model import Column, Row, Table, number_cell
from fiqa_fast.report.text import make_printable


def comparison_tables(curves: Sequence[CurveRecord]) -> list[Table]:
    """One table, a row for each distinct set of comparisons and threshold; none without curves."""
    rows: dict[tuple[object, ...], Row] = {}
    for curve in curves:
        heads = (
            make_printable(curve.data_set),
            make_printable(curve.verification_network) or "not named",
            threshold_text(curve.fmr),
            POLICIES.get(curve.threshold_policy, curve.threshold_policy),
            curve.error.upper(),
        )
        numbers = (
            number_cell(curve.decision_threshold),
            number_cell(curve.mated_count, f"{curve.mated_count:,}"),
            number_cell(curve.non_mated_count, f"{curve.non_mated_count:,}"),
            number_cell(curve.error_rate[0] if curve.error_rate else None),
        )
        rows.setdefault((heads, *(cell.text for cell in numbers)), Row(heads, numbers))
    if not rows:
        return []
    return [
        Table(
            name="comparisons",
            options={},
            caption="Comparisons and decision thresholds, before anything is discarded",
            heads=("Data set", "Recognition network", "Operating point", "Threshold", "Error"),
            columns=(
                Column("decision threshold"),
                Column("mated", "Comparisons"),
                Column("non-mated", "Comparisons"),
                Column("error rate"),
            ),
            rows=tuple(rows.values()),
        )
    ]
