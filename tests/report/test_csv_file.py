from __future__ import annotations

import csv
import io
from typing import Any

from fiqa_fast.report.csv_file import table_as_csv
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.tables.areas import area_tables
from fiqa_fast.report.tables.model import Cell, Column, Row, Table


def test_numbers_are_written_in_full(make_evaluation: Any) -> None:
    result = make_evaluation(methods=("a, b", 'c"'), data_sets=("LFW",))
    table = area_tables(result.curves, MethodNames(result))[0]
    rows = list(csv.DictReader(io.StringIO(table_as_csv(table))))

    area = result.curves[0].areas[0]
    assert [row["Method"] for row in rows] == ["a, b", 'c"']
    assert float(rows[0]["LFW FMR 0.001"]) == area.value
    assert float(rows[0]["LFW FMR 0.001 low"]) == area.low
    assert float(rows[0]["LFW FMR 0.001 high"]) == area.high
    assert float(rows[0]["LFW FMR 0.001 relative to random"]) == area.normalised


def test_what_is_missing_is_empty_and_words_stay() -> None:
    rows = (Row(("m",), (Cell("\N{EN DASH}"), Cell("cpu"))),)
    table = Table("t", {}, "c", ("Method",), (Column("x"), Column("Device", words=True)), rows)

    assert table_as_csv(table) == "Method,x,Device\nm,,cpu\n"
