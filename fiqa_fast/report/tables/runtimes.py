"""What a face cost: one row for each method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from fiqa_fast.evaluation.result import RuntimeRecord
from fiqa_fast.report.tables.model import Cell, Column, Row, Table, number_cell
from fiqa_fast.report.text import make_printable


def runtime_tables(records: Sequence[RuntimeRecord]) -> list[Table]:
    """One table, the quickest of each device marked; none without records."""
    if not records:
        return []
    per_device: dict[str, list[float]] = {}
    for record in records:
        per_device.setdefault(record.device, []).append(record.ms_per_face)
    rows = []
    for record in records:
        rivals = [value for value in per_device[record.device] if math.isfinite(value)]
        quickest = len(rivals) > 1 and record.ms_per_face == min(rivals)
        cost = replace(number_cell(record.ms_per_face), best=quickest)
        rate = 1000 / record.ms_per_face if record.ms_per_face > 0 else None
        words = (record.network, record.device, record.precision, record.engine)
        rows.append(
            Row(
                (make_printable(record.method),),
                (cost, number_cell(rate), *(Cell(make_printable(word)) for word in words)),
            )
        )
    columns = (
        Column("ms per face"),
        Column("faces per second"),
        *(Column(name, words=True) for name in ("Network", "Device", "Precision", "Engine")),
    )
    caption = "Time for a face while the scores were made"
    return [Table("runtimes", {}, caption, ("Method",), columns, tuple(rows))]
