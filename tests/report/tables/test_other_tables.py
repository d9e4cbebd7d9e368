from __future__ import annotations

from typing import Any

import pytest

from fiqa_fast.evaluation.result import (
    EvaluationResult,
    LadderRecord,
    PairedTestRecord,
    RuntimeRecord,
    TemplateRecord,
)
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.tables.agreements import agreement_tables
from fiqa_fast.report.tables.all_tables import all_tables
from fiqa_fast.report.tables.comparisons import comparison_tables
from fiqa_fast.report.tables.error_rates import error_rate_tables
from fiqa_fast.report.tables.ladder import ladder_tables
from fiqa_fast.report.tables.paired_tests import paired_test_tables
from fiqa_fast.report.tables.runtimes import runtime_tables
from fiqa_fast.report.tables.templates import template_tables


def test_an_empty_evaluation_has_no_tables() -> None:
    assert all_tables(EvaluationResult("t")) == [[]] * 9


def test_every_row_has_a_cell_for_every_column(make_evaluation: Any) -> None:
    for tables in all_tables(make_evaluation()):
        assert tables
        for table in tables:
            assert table.rows
            for row in table.rows:
                assert len(row.cells) == len(table.columns)
                assert len(row.heads) == len(table.heads)


def test_error_rates(make_evaluation: Any) -> None:
    record = make_evaluation(data_sets=("LFW",)).error_rates[0]
    (table,) = error_rate_tables([record])

    assert [c.label for c in table.columns] == [
        "mated",
        "non-mated",
        "EER",
        "0.01",
        "0.001",
        "0.0001",
    ]
    assert table.rows[0].heads == ("LFW", "sface")
    assert [cell.value for cell in table.rows[0].cells[2:]] == [
        record.eer,
        *(record.fnmr_at_fmr[fmr] for fmr in ("0.01", "0.001", "0.0001")),
    ]


def test_the_largest_tar_is_the_best() -> None:
    records = [
        TemplateRecord("IJB-C", "sface", weighting, 10, 5, 20, {"0.0001": tar})
        for weighting, tar in (("", 0.9), ("froq", 0.95))
    ]
    (table,) = template_tables(records)

    assert [row.heads[0] for row in table.rows] == ["no weighting", "froq"]
    assert [row.cells[0].best for row in table.rows] == [False, True]


def test_the_quickest_of_each_device_is_marked() -> None:
    records = [
        RuntimeRecord(method, "sface", ms, device, "float32", "torch")
        for method, ms, device in (("a", 10.0, "cpu"), ("b", 5.0, "cpu"), ("c", 1.0, "cuda:0"))
    ]
    (table,) = runtime_tables(records)

    assert [row.cells[0].best for row in table.rows] == [False, True, False]
    assert table.rows[1].cells[1].value == pytest.approx(200)


def paired(a: str, b: str, low: float, high: float, p: float) -> PairedTestRecord:
    middle = (low + high) / 2
    return PairedTestRecord("LFW", "sface", "fixed", 0.001, "step", 0.2, a, b, middle, low, high, p)


def test_paired_tests_name_the_smaller_area_where_it_is_sure() -> None:
    records = [paired("a", "b", -1, 1, 0.5), paired("a", "c", -3, -1, 0.01)]
    (table,) = paired_test_tables([*records, paired("b", "c", 1, 3, 0.0001)])

    assert [row.heads for row in table.rows] == [("b", "c"), ("a", "c"), ("a", "b")]
    assert [row.cells[-1].text for row in table.rows] == ["c", "a", "no difference shown"]
    assert [row.cells[3].text for row in table.rows] == ["< 0.001", "0.010", "0.500"]


def test_of_many_pairs_the_surest_are_shown() -> None:
    records = [paired(f"m{i}", "b", -1, 1, i / 100) for i in range(100)]

    (short,) = paired_test_tables(records, 10)
    (whole,) = paired_test_tables(records)

    assert [row.heads[0] for row in short.rows] == [f"m{i}" for i in range(10)]
    assert "The first 10 of 100 pairs." in short.remark
    assert len(whole.rows) == 100
    assert "first" not in whole.remark


def test_the_ladder_marks_the_closest_to_minus_one() -> None:
    records = [
        LadderRecord(method, "blur", (0, 1), (0.9, 0.1), rho)
        for method, rho in (("a", -0.5), ("b", -0.9), ("c", None))
    ]
    names = MethodNames(EvaluationResult("t", ladder=tuple(records)))
    (table,) = ladder_tables(records, names)

    assert [row.cells[0].text for row in table.rows] == ["\u22120.500", "\u22120.900", "\u2013"]
    assert [row.cells[0].best for row in table.rows] == [False, True, False]


def test_agreement_is_a_matrix_for_each_data_set_and_coefficient(make_evaluation: Any) -> None:
    records = make_evaluation(methods=("a", "b", "c")).agreements
    tables = agreement_tables(records)

    assert len(tables) == 6
    assert tables[1].options == {"Data set": "LFW", "Coefficient": "Kendall's tau"}
    first = tables[0]
    assert [first.rows[i].cells[i].text for i in range(3)] == [""] * 3
    assert first.rows[0].cells[2].text == "\N{EN DASH}"
    assert first.rows[0].cells[1].value == records[0].spearman[0][1]


def test_comparisons_of_all_methods_stand_there_once(make_evaluation: Any) -> None:
    result = make_evaluation(methods=("a", "b"), data_sets=("LFW",))
    (table,) = comparison_tables(result.curves)

    assert [row.heads[2:4] for row in table.rows] == [
        ("FMR 0.001", "fixed"),
        ("FMR 0.001", "anew at each step"),
        ("FMR 0.0001", "fixed"),
        ("FMR 0.0001", "anew at each step"),
    ]
    assert table.rows[0].cells[1].text == "3,000"
