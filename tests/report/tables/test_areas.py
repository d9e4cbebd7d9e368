from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fiqa_fast.evaluation.result import Area, CurveRecord, EvaluationResult
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.tables.areas import area_cell, area_tables


def tables_of(*curves: CurveRecord) -> Any:
    return area_tables(curves, MethodNames(EvaluationResult("t", curves=curves)))


@pytest.fixture
def curve(make_evaluation: Any) -> CurveRecord:
    """Of method "a" on LFW, with an error rate of 0.1 at first."""
    made = make_evaluation(methods=("a",), data_sets=("LFW",)).curves[0]
    return replace(made, discard_fraction=(0.0, 0.5), error_rate=(0.1, 0.05), areas=())


def test_rows_are_methods_and_columns_data_sets_and_operating_points(make_evaluation: Any) -> None:
    result = make_evaluation(methods=("a", "b"), data_sets=("LFW", "CFP"))
    tables = area_tables(result.curves, MethodNames(result))

    assert [t.options["Area"] for t in tables] == [
        "steps, up to 0.2",
        "steps, up to 0.95",
        "trapezoids, up to 0.95",
    ]
    table = tables[0]
    assert [row.heads for row in table.rows] == [("a",), ("b",)]
    assert [(c.group, c.label) for c in table.columns] == [
        ("LFW", "FMR 0.001"),
        ("LFW", "FMR 0.0001"),
        ("CFP", "FMR 0.001"),
        ("CFP", "FMR 0.0001"),
    ]
    assert table.groups == [("LFW", 2), ("CFP", 2)]
    by_name = {
        (c.method, c.data_set, c.fmr): c for c in result.curves if c.threshold_policy == "fixed"
    }
    assert table.rows[1].cells[2].value == by_name["b", "CFP", 0.001].areas[0].value


def test_the_smallest_of_a_column_is_the_best(curve: CurveRecord) -> None:
    curves = [
        replace(curve, method=name, areas=(Area("step", 0.2, value),))
        for name, value in (("a", 0.3), ("b", 0.1), ("c", 0.2), ("d", 0.1))
    ]
    (table,) = tables_of(*curves)

    assert [row.cells[0].best for row in table.rows] == [False, True, False, True]


def test_a_single_method_is_not_called_the_best(curve: CurveRecord) -> None:
    (table,) = tables_of(replace(curve, areas=(Area("step", 0.2, 0.1),)))

    assert not table.rows[0].cells[0].best


def test_a_missing_curve_leaves_a_dash(curve: CurveRecord) -> None:
    area = (Area("step", 0.2, 0.1),)
    (table,) = tables_of(
        replace(curve, areas=area), replace(curve, method="b", data_set="CFP", areas=area)
    )

    assert [cell.text for cell in table.rows[0].cells] == ["0.1000", "\N{EN DASH}"]


@pytest.mark.parametrize(
    ("area", "verdict"),
    [
        (Area("step", 0.2, 0.016, 0.8, None, 0.01, 0.03, 0.7, 0.9), "better"),
        (Area("step", 0.2, 0.016, 0.8, None, 0.014, 0.018, 0.7, 1.05), "open"),
        (Area("step", 0.2, 0.016, 0.8), "below"),
        (Area("step", 0.2, 0.016, 0.8, None, 0.014, 0.018), "below"),
        (Area("step", 0.2, 0.022, 1.1, None, 0.020, 0.024, 1.0, 1.2), "worse"),
        (Area("step", 0.2, 0.0, 0.0, None, 0.0, 0.0, 0.0, 0.0), "better"),
        (Area("step", 0.2, 0.016), ""),
    ],
)
def test_areas_are_compared_with_random_discarding(area: Area, verdict: str) -> None:
    assert area_cell(area).verdict == verdict


def test_numbers_that_are_none_leave_a_dash() -> None:
    nan = float("nan")

    assert area_cell(Area("step", 0.2, nan)).text == "\N{EN DASH}"
    cell = area_cell(Area("step", 0.2, 0.1, nan, None, nan, nan))
    assert (cell.interval, cell.relative, cell.verdict) == ("", None, "")
