from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import pytest

from fiqa_fast.evaluation.published import PublishedValue, published_values
from fiqa_fast.evaluation.result import Area, CurveRecord, EvaluationResult, TemplateRecord
from fiqa_fast.report.csv_file import table_as_csv
from fiqa_fast.report.latex import table_as_latex
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.tables.model import Published, Source, Table
from fiqa_fast.report.tables.papers import paper_tables

DASH = "\N{EN DASH}"
FACEQAN_LIMITS = (0.1, 0.2, 0.4, 0.8)
CLIB_FIQA = "CLIB-FIQA: Face Image Quality Assessment with Confidence Calibration (CVPR 2024)"


def tables_of(
    result: EvaluationResult, layout: str, published: tuple[PublishedValue, ...] = ()
) -> list[Table]:
    """Those whose layout begins so."""
    tables = paper_tables(result, MethodNames(result), published)
    return [table for table in tables if table.options["Layout"].startswith(layout)]


def columns_of(table: Table) -> list[tuple[str, str]]:
    return [(column.group, column.label) for column in table.columns]


def column_values(table: Table, group: str, label: str) -> list[float | None]:
    place = columns_of(table).index((group, label))
    return [row.cells[place].value for row in table.rows]


def published_places(table: Table) -> dict[tuple[str, str, str], tuple[Published, ...]]:
    """By method, group and label."""
    return {
        (row.heads[0], column.group, column.label): cell.published
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell.published
    }


def areas_of(result: EvaluationResult, limit: float, rule: str, **wanted: Any) -> list[Area]:
    """In the order of the curves."""
    return [
        area
        for curve in result.curves
        if all(getattr(curve, name) == value for name, value in wanted.items())
        for area in curve.areas
        if (area.rule, area.limit) == (rule, limit)
    ]


def printed(**changes: Any) -> PublishedValue:
    value = PublishedValue(
        paper="A paper & more",
        table="Table 2",
        data_set="LFW",
        method="GraFIQs B2",
        verification_network="SFace",
        measure="auc",
        fmr=1e-3,
        limit=0.95,
        value=0.0301,
        source="the PDF",
    )
    return replace(value, **changes)


@pytest.fixture
def result(make_evaluation: Any) -> EvaluationResult:
    """Of two networks, with the areas of all layouts but that up to 0.3 and its like."""
    made: EvaluationResult = make_evaluation(
        methods=("grafiqs/b2", "magface", "brisque"),
        data_sets=("LFW", "XQLFW"),
        networks=("sface", "ArcFace"),
        step_limits=FACEQAN_LIMITS,
    )
    return made


def test_grafiqs_has_both_rates_of_every_data_set_for_each_network(
    result: EvaluationResult,
) -> None:
    tables = tables_of(result, "GraFIQs")

    assert [t.options["Recognition network"] for t in tables] == ["sface", "ArcFace"]
    for table in tables:
        network = table.options["Recognition network"]
        assert columns_of(table) == [
            (data_set, rate)
            for data_set in ("LFW", "XQLFW")
            for rate in ("FMR 0.001", "FMR 0.0001")
        ]
        assert [row.heads[0] for row in table.rows] == ["grafiqs/b2", "magface", "brisque"]
        for (data_set, rate), fmr in zip(columns_of(table), (1e-3, 1e-4) * 2, strict=True):
            areas = areas_of(
                result,
                0.95,
                "trapezoid",
                data_set=data_set,
                fmr=fmr,
                verification_network=network,
                threshold_policy="per_discard",
            )
            assert column_values(table, data_set, rate) == [area.value for area in areas]


def test_cr_fiqa_has_every_network_of_every_data_set_for_each_rate(
    result: EvaluationResult,
) -> None:
    tables = tables_of(result, "CR-FIQA, Tables")

    assert [t.options["Operating point"] for t in tables] == ["FMR 0.001", "FMR 0.0001"]
    assert columns_of(tables[1]) == [
        ("LFW", "sface"),
        ("LFW", "ArcFace"),
        ("XQLFW", "sface"),
        ("XQLFW", "ArcFace"),
    ]
    areas = areas_of(
        result, 0.95, "trapezoid", data_set="XQLFW", fmr=1e-4, verification_network="ArcFace"
    )
    assert column_values(tables[1], "XQLFW", "ArcFace") == [area.value for area in areas]


def test_faceqan_has_its_drop_rates_and_a_table_for_cross_model(result: EvaluationResult) -> None:
    same, cross = tables_of(result, "FaceQAN")

    assert same.options["Layout"] == "FaceQAN, Table II"
    assert same.options["Recognition network"] == "sface"
    assert cross.options["Layout"] == "FaceQAN, Table IV"
    assert cross.options["Recognition network"] == "ArcFace"
    assert columns_of(same)[:4] == [("LFW", f"up to {limit}") for limit in FACEQAN_LIMITS]
    for limit in FACEQAN_LIMITS:
        areas = areas_of(
            result, limit, "step", data_set="LFW", fmr=1e-3, verification_network="sface"
        )
        assert column_values(same, "LFW", f"up to {limit}") == [area.value for area in areas]
    for table in (same, cross):
        assert [row.heads[0] for row in table.rows] == ["grafiqs/b2", "magface", "brisque"]
    # It has no network of its own, so it is neither.
    assert same.remark == ""
    assert cross.remark == "Of no network, or of one that is not known: brisque."


def test_a_network_that_verifies_its_own_methods_and_others_has_both_tables(
    make_evaluation: Any,
) -> None:
    made = make_evaluation(methods=("a", "b", "brisque"), data_sets=("LFW",), fmrs=(1e-3,))
    networks = {"a": "sface", "b": "iresnet50", "brisque": "none"}
    curves = tuple(replace(c, quality_network=networks[c.method]) for c in made.curves)
    same, cross = tables_of(replace(made, curves=curves), "FaceQAN")

    assert [row.heads[0] for row in same.rows] == ["a", "b", "brisque"]
    assert same.caption.endswith("; same-model and cross-model")
    assert [row.heads[0] for row in cross.rows] == ["b", "brisque"]
    assert cross.caption.endswith("; cross-model")


def test_captions_tell_same_model_from_cross_model(result: EvaluationResult) -> None:
    same, cross = tables_of(result, "GraFIQs")
    (both, _) = tables_of(result, "CR-FIQA, Tables")
    unknown = replace(
        result, curves=tuple(replace(curve, quality_network="") for curve in result.curves)
    )

    assert same.caption.endswith("; same-model")
    assert cross.caption.endswith("; cross-model")
    assert both.caption.endswith("; same-model and cross-model")
    for table in tables_of(unknown, "GraFIQs"):
        assert "model" not in table.caption
    assert [t.options["Layout"] for t in tables_of(unknown, "FaceQAN")] == ["FaceQAN, Table II"] * 2


def test_networks_of_one_name_in_another_spelling_are_the_same_model(
    result: EvaluationResult,
) -> None:
    curves = [replace(curve, verification_network="SFace") for curve in result.curves]
    (table,) = tables_of(replace(result, curves=tuple(curves)), "GraFIQs")

    assert table.caption.endswith("; same-model")


def test_comparison_scores_of_the_data_set_are_of_no_known_network(
    result: EvaluationResult,
) -> None:
    curves = [replace(curve, verification_network="comparison_score") for curve in result.curves]
    (table,) = tables_of(replace(result, curves=tuple(curves)), "GraFIQs")

    assert "model" not in table.caption


def test_the_optimisation_has_pairs_and_their_relative_change(make_evaluation: Any) -> None:
    result = make_evaluation(
        methods=("magface+opt", "alone", "faceqan", "magface", "faceqan (optimised)"),
        data_sets=("LFW", "XQLFW"),
        networks=("sface", "ArcFace"),
        step_limits=FACEQAN_LIMITS,
    )
    tables = tables_of(result, "Label optimisation, Tables I to III")

    assert [t.options["Measure"] for t in tables] == [
        f"area by steps, up to {limit}" for limit in FACEQAN_LIMITS
    ]
    table = tables[0]
    assert [row.heads[0] for row in table.rows] == [
        "faceqan",
        "faceqan (optimised)",
        "magface",
        "magface+opt",
    ]
    assert columns_of(table) == [
        ("LFW", "sface"),
        ("LFW", "ArcFace"),
        ("XQLFW", "sface"),
        ("XQLFW", "ArcFace"),
    ]
    for position in range(4):
        before, after = (table.rows[row].cells[position] for row in (2, 3))
        assert before.value is not None
        assert after.value is not None
        assert before.change is None
        assert after.change == pytest.approx((after.value - before.value) / before.value)

    rows = list(csv.DictReader(io.StringIO(table_as_csv(table))))
    assert rows[2]["LFW sface relative change"] == ""
    assert float(rows[3]["LFW sface relative change"]) == table.rows[3].cells[0].change
    assert "\\%}" in table_as_latex(table)


def test_without_pairs_there_is_no_table_of_the_optimisation(result: EvaluationResult) -> None:
    assert tables_of(result, "Label optimisation") == []


def test_a_change_needs_a_number_to_change_from(make_evaluation: Any) -> None:
    result = make_evaluation(methods=("a", "a+opt"), data_sets=("LFW", "XQLFW"), fmrs=(1e-3,))

    def altered(curve: CurveRecord) -> CurveRecord:
        value = {"LFW": 0.0, "XQLFW": float("nan")}[curve.data_set]
        areas = tuple(replace(area, value=value) for area in curve.areas)
        return replace(curve, areas=areas) if curve.method == "a" else curve

    broken = replace(result, curves=tuple(map(altered, result.curves)))
    (table,) = tables_of(broken, "Label optimisation")

    assert [cell.change for cell in table.rows[1].cells] == [None, None]
    assert table.rows[0].cells[1].text == DASH


def test_normalised_areas_have_layouts_of_their_own(result: EvaluationResult) -> None:
    (table, _) = tables_of(result, "CLIB-FIQA")

    assert table.options["Measure"] == "area by trapezoids, normalised"
    areas = areas_of(
        result, 0.95, "trapezoid", data_set="LFW", fmr=1e-3, verification_network="sface"
    )
    values = column_values(table, "LFW", "up to 0.95")
    assert values == [area.normalised for area in areas]
    assert [row.cells[0].best for row in table.rows] == [value == min(values) for value in values]


def test_templates_have_the_tar_at_the_rates_of_cr_fiqa() -> None:
    records = tuple(
        TemplateRecord("IJB-C", network, weighting, 10, 5, 20, {"0.01": 0.99, "1e-05": tar})
        for network, weighting, tar in (
            ("sface", "", 0.8),
            ("sface", "froq", 0.9),
            ("ArcFace", "froq", 0.95),
        )
    )
    value = printed(
        data_set="IJB-C", method="FROQ", verification_network="ArcFace", measure="tar", fmr=1e-5,
        limit=None, value=0.953,
    )  # fmt: skip
    (table,) = tables_of(EvaluationResult("t", templates=records), "CR-FIQA", (value,))

    assert columns_of(table) == [("IJB-C, sface", "FAR 1e-05"), ("IJB-C, ArcFace", "FAR 1e-05")]
    assert [row.heads[0] for row in table.rows] == ["no weighting", "froq"]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["0.8000", DASH],
        ["0.9000", "0.9500"],
    ]
    assert [row.cells[0].best for row in table.rows] == [False, True]
    assert list(published_places(table)) == [("froq", "IJB-C, ArcFace", "FAR 1e-05")]


def test_templates_at_other_rates_have_no_table() -> None:
    record = TemplateRecord("IJB-C", "sface", "", 10, 5, 20, {"0.01": 0.9, "some": 0.9})
    other = EvaluationResult("t", templates=(record,))

    assert paper_tables(other, MethodNames(other)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"fmr": 0.01},
        {"fmr": None},
        {"error": "fmr"},
        {"pair_quality": "mean"},
        {"areas": (Area("step", 0.25, 0.1), Area("trapezoid", 0.25, 0.1))},
        {"areas": ()},
    ],
    ids=[
        "another rate",
        "a given threshold",
        "FMR curves",
        "another pair quality",
        "limit",
        "none",
    ],
)
def test_records_that_no_paper_has_make_no_table(
    result: EvaluationResult, changes: dict[str, Any]
) -> None:
    curves = tuple(replace(curve, **changes) for curve in result.curves)
    other = EvaluationResult("t", curves=curves)

    assert paper_tables(other, MethodNames(other)) == []


def test_rates_of_which_one_is_there_make_a_smaller_table(result: EvaluationResult) -> None:
    curves = tuple(curve for curve in result.curves if curve.fmr == 1e-4)
    smaller = EvaluationResult("t", curves=curves)

    assert columns_of(tables_of(smaller, "GraFIQs")[0]) == [
        ("LFW", "FMR 0.0001"),
        ("XQLFW", "FMR 0.0001"),
    ]
    assert tables_of(smaller, "FaceQAN") == []


def test_a_policy_that_is_missing_leaves_its_layouts_out(result: EvaluationResult) -> None:
    curves = tuple(curve for curve in result.curves if curve.threshold_policy == "fixed")
    fixed = EvaluationResult("t", curves=curves)

    layouts = {t.options["Layout"] for t in paper_tables(fixed, MethodNames(fixed))}
    assert layouts == {"FaceQAN, Table II", "FaceQAN, Table IV"}


def test_a_curve_that_is_missing_leaves_a_dash(result: EvaluationResult) -> None:
    curves = tuple(c for c in result.curves if (c.method, c.data_set) != ("magface", "LFW"))
    table = tables_of(EvaluationResult("t", curves=curves), "GraFIQs")[0]

    # The first curves are those of LFW, which the other methods still have.
    (row,) = [row for row in table.rows if row.heads == ("magface",)]
    assert [cell.text == DASH for cell in row.cells] == [True, True, False, False]


def test_the_smallest_area_of_a_column_is_the_best(result: EvaluationResult) -> None:
    for table in tables_of(result, "GraFIQs"):
        for position, (group, label) in enumerate(columns_of(table)):
            values = column_values(table, group, label)
            best = [row.cells[position].best for row in table.rows]
            assert best == [value == min(values) for value in values]


def test_a_published_value_stands_beside_its_cell_and_nowhere_else(
    result: EvaluationResult,
) -> None:
    table, other = tables_of(result, "GraFIQs", (printed(),))

    source = Source("a", "A paper & more, Table 2")
    assert published_places(table) == {
        ("grafiqs/b2", "LFW", "FMR 0.001"): (Published(0.0301, source),)
    }
    assert table.sources == (source,)
    assert source.text not in {one.text for one in other.sources}


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({}, [("magface", "LFW", "FMR 0.001")]),
        ({"data_set": "XQLFW"}, [("magface", "XQLFW", "FMR 0.001")]),
        ({"fmr": 1e-4}, [("magface", "LFW", "FMR 0.0001")]),
        ({"method": "GraFIQs/B2"}, [("grafiqs/b2", "LFW", "FMR 0.001")]),
        ({"method": "GraFIQs(L)"}, []),
        ({"method": "MagFace (r100)"}, []),
        ({"data_set": "CFP-FP"}, []),
        ({"verification_network": "ElasticFace"}, []),
        ({"fmr": 1e-2}, []),
        ({"limit": 0.3}, []),
        ({"measure": "tar", "limit": None}, []),
    ],
)
def test_a_published_value_needs_every_name_and_number(
    result: EvaluationResult, changes: dict[str, Any], places: list[tuple[str, str, str]]
) -> None:
    value = printed(**{"method": "MagFace", **changes})
    found = [published_places(table) for table in tables_of(result, "GraFIQs", (value,))]
    own = [
        place
        for of_table in found
        for place, all_values in of_table.items()
        if any(one.source.text == "A paper & more, Table 2" for one in all_values)
    ]

    assert own == places


def test_plain_and_normalised_values_are_never_mixed_up(result: EvaluationResult) -> None:
    values = (
        printed(method="magface", value=0.02),
        printed(method="magface", measure="auc_normalised", value=0.55, table="Table 3"),
    )
    place = ("magface", "LFW", "FMR 0.001")
    plain = published_places(tables_of(result, "GraFIQs", values)[0])[place]
    assert [(one.value, one.relative, one.text) for one in plain] == [
        (0.02, False, "0.02"),
        (0.55, True, "0.55\N{MULTIPLICATION SIGN}"),
    ]

    place = ("magface", "LFW", "up to 0.95")
    normalised = published_places(tables_of(result, "CLIB-FIQA", values)[0])[place]
    assert [(one.value, one.relative, one.text) for one in normalised] == [(0.55, False, "0.55")]


def test_packaged_values_stand_beside_the_normalised_areas(result: EvaluationResult) -> None:
    (value,) = published_values(
        data_set="XQLFW", method="MagFace", verification_network="ArcFace", limit=0.95, fmr=1e-3
    )
    _, grafiqs = tables_of(result, "GraFIQs")
    _, clib_fiqa = tables_of(result, "CLIB-FIQA")

    source = Source("a", f"{CLIB_FIQA}, Table 1")
    assert published_places(grafiqs)["magface", "XQLFW", "FMR 0.001"] == (
        Published(value.value, source, relative=True),
    )
    assert published_places(clib_fiqa) == {
        ("magface", data_set, "up to 0.95"): (Published(number, source),)
        for data_set, number in (("LFW", 0.547), ("XQLFW", value.value))
    }


def test_without_a_measured_number_nothing_stands_beside_it(result: EvaluationResult) -> None:
    def altered(curve: CurveRecord) -> CurveRecord:
        none = {"value": float("nan"), "normalised": None}
        return replace(curve, areas=tuple(replace(area, **none) for area in curve.areas))

    broken = EvaluationResult("t", curves=tuple(map(altered, result.curves)))
    values = (printed(), printed(measure="auc_normalised"))

    tables = paper_tables(broken, MethodNames(broken), values)
    assert tables
    assert all(published_places(table) == {} for table in tables)


def test_a_value_of_ones_own_replaces_the_packaged_one(result: EvaluationResult) -> None:
    (packaged,) = published_values(
        data_set="LFW", method="MagFace", verification_network="ArcFace", limit=0.95, fmr=1e-3
    )
    _, table = tables_of(result, "GraFIQs", (replace(packaged, value=0.123),))

    (one,) = published_places(table)["magface", "LFW", "FMR 0.001"]
    assert one.value == 0.123


def test_csv_has_published_values_in_columns_of_their_own(result: EvaluationResult) -> None:
    values = (printed(), printed(method="magface", measure="auc_normalised", value=0.55))
    table = tables_of(result, "GraFIQs", values)[0]
    rows = list(csv.DictReader(io.StringIO(table_as_csv(table))))

    plain = "LFW FMR 0.001 published in A paper & more, Table 2"
    relative = "LFW FMR 0.001 relative to random, published in A paper & more, Table 2"
    assert [row[plain] for row in rows] == ["0.0301", "", ""]
    assert [row[relative] for row in rows] == ["", "0.55", ""]
    assert [name for name in rows[0] if "published" in name] == [plain, relative]


def test_latex_has_published_values_with_marks_and_their_papers_below(
    result: EvaluationResult,
) -> None:
    values = (printed(), printed(method="magface", measure="auc_normalised", value=0.55))
    table = tables_of(result, "GraFIQs", values)[0]
    lines = table_as_latex(table).splitlines()

    (grafiqs,) = [line for line in lines if line.startswith("grafiqs/b2 &")]
    (magface,) = [line for line in lines if line.startswith("magface &")]
    assert grafiqs.count(r"\textit{0.0301}\textsuperscript{a}") == 1
    relative = table.rows[1].cells[0].relative
    assert rf"{relative:.3f}$\times$ \textit{{0.55$\times$}}\textsuperscript{{a}}" in magface
    assert lines[-2:] == [
        r"\end{tabular}",
        r"\par{\scriptsize\textsuperscript{a} A paper \& more, Table 2\par}",
    ]


def test_names_are_escaped_in_latex(make_evaluation: Any) -> None:
    result = make_evaluation(methods=("a_b&", "a_b&+opt"), data_sets=("50%",))

    for table in paper_tables(result, MethodNames(result)):
        text = table_as_latex(table).split("\n", 1)[1]
        assert r"a\_b\&" in text
        assert "a_b&" not in text
        assert "50%" not in text
