from __future__ import annotations

from dataclasses import replace
from typing import Any

from fiqa_fast.evaluation.result import EvaluationResult, TemplateRecord
from fiqa_fast.report.merge import merge_results, merge_tables


def test_methods_that_several_runs_have_get_the_runs_name(make_evaluation: Any) -> None:
    a = make_evaluation(methods=("froq", "faceqan"), data_sets=("LFW",))
    b = make_evaluation(methods=("froq", "ser-fiq"), data_sets=("LFW",), seed=8)

    merged = merge_results({"one": a, "two": b}, "both")

    expected = {"froq (one)", "froq (two)", "faceqan", "ser-fiq"}
    assert merged.title == "both"
    assert {curve.method for curve in merged.curves} == expected
    assert {record.method for record in merged.distributions} == expected
    assert {record.method for record in merged.runtimes} == expected
    assert {record.method for record in merged.ladder} == expected
    assert {r.weighting for r in merged.templates} - {
        "no weighting (one)",
        "no weighting (two)",
    } == (expected)
    assert {name for r in merged.agreements for name in r.methods} == expected
    assert {n for r in merged.paired_tests for n in (r.method_a, r.method_b)} == expected
    assert [(r.before, r.after) for r in merged.label_changes] == [
        ("froq (one)", "faceqan"),
        ("froq (two)", "ser-fiq"),
    ]
    assert len(merged.curves) == len(a.curves) + len(b.curves)


def test_records_of_both_runs_stand_there_once_if_they_are_the_same(make_evaluation: Any) -> None:
    a = make_evaluation(methods=("froq",), data_sets=("LFW",))
    same = replace(make_evaluation(methods=("cr-fiqa",), data_sets=("LFW",)))
    same = replace(same, error_rates=a.error_rates)
    other = make_evaluation(methods=("cr-fiqa",), data_sets=("LFW",), seed=9)

    once = merge_results({"one": a, "two": same}, "t")
    twice = merge_results({"one": a, "two": other}, "t")

    assert once.error_rates == a.error_rates
    assert [r.verification_network for r in twice.error_rates] == [
        "sface (one)",
        "iresnet50 (one)",
        "sface (two)",
        "iresnet50 (two)",
    ]


def test_settings_and_notes_name_their_run_where_the_runs_differ() -> None:
    a = EvaluationResult("a", {"seed": "1", "device": "cpu"}, ("small", "old"))
    b = EvaluationResult("b", {"seed": "2", "device": "cpu"}, ("small",))

    merged = merge_results({"one": a, "two": b}, "t")

    assert merged.settings == {"seed": "one: 1; two: 2", "device": "cpu"}
    assert merged.notes == ("small", "one: old")


def test_one_run_stays_as_it_is(make_evaluation: Any) -> None:
    result = make_evaluation()

    assert merge_results({"only": result}, result.title) == result


def test_equal_weightings_of_nothing_stand_there_once() -> None:
    plain = TemplateRecord("IJB-C", "sface", "", 10, 5, 20, {"0.0001": 0.9})
    runs = {name: EvaluationResult(name, templates=(plain,)) for name in ("one", "two")}

    assert merge_results(runs, "t").templates == (plain,)


def test_outputs_of_tables_get_the_runs_name(make_table: Any, scored: Any) -> None:
    first = make_table(
        [scored("a.jpg", 1.0), scored("a.jpg", 2.0, scorer="faceqan", output="score")]
    )
    second = make_table(
        [
            scored("b.jpg", 1.0),
            scored("b.jpg", 2.0, output="mse_bns"),
            scored("b.jpg", 2.0, scorer="faceqan", output="score"),
        ]
    )

    merged = merge_tables({"one": first, "two": second})

    assert list(zip(merged["scorer"].to_pylist(), merged["output"].to_pylist(), strict=True)) == [
        ("grafiqs", "b2 (one)"),
        ("faceqan (one)", "score"),
        ("grafiqs", "b2 (two)"),
        ("grafiqs", "mse_bns"),
        ("faceqan (two)", "score"),
    ]
    assert merged["path"].to_pylist() == ["a.jpg"] * 2 + ["b.jpg"] * 3
