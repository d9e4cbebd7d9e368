"""Rank correlations between methods, as matrices."""

from __future__ import annotations

from collections.abc import Sequence

from fiqa_fast.evaluation.result import AgreementRecord
from fiqa_fast.report.tables.model import Cell, Column, Row, Table, number_cell
from fiqa_fast.report.text import make_printable

COEFFICIENTS = {"spearman": "Spearman's rho", "kendall": "Kendall's tau"}


def agreement_tables(records: Sequence[AgreementRecord]) -> list[Table]:
    """One table for each data set and coefficient."""
    tables = []
    for record in records:
        methods = tuple(make_printable(method) for method in record.methods)
        for name, title in COEFFICIENTS.items():
            matrix = record.spearman if name == "spearman" else record.kendall
            if not matrix:
                continue
            rows = tuple(
                Row((method,), tuple(_cell(value, i == j) for j, value in enumerate(values)))
                for i, (method, values) in enumerate(zip(methods, matrix, strict=True))
            )
            tables.append(
                Table(
                    name="agreement",
                    options={"Data set": make_printable(record.data_set), "Coefficient": title},
                    caption="How far the methods order the samples alike",
                    heads=("Method",),
                    columns=tuple(Column(method) for method in methods),
                    rows=rows,
                )
            )
    return tables


def _cell(value: float | None, itself: bool) -> Cell:
    if itself:
        return Cell("")
    return number_cell(value, "" if value is None else f"{value:.2f}".replace("-", "\u2212"))
