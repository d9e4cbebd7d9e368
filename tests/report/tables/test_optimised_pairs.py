from __future__ import annotations

import pytest

from fiqa_fast.report.tables.optimised_pairs import find_pairs


@pytest.mark.parametrize(
    "name",
    [
        "magface+opt",
        "magface +opt",
        "magface_opt",
        "magface-optimised",
        "magface (optimised)",
        "magface(opt)",
        "magface Optimized",
    ],
)
def test_an_optimised_method_is_told_by_its_suffix(name: str) -> None:
    assert find_pairs([name, "magface"]) == [("magface", name)]


@pytest.mark.parametrize(
    "names",
    [
        ["magface+opt"],
        ["magface", "magfaceopt"],
        ["magface", "magface+options"],
        ["magface", "faceqan+opt"],
        ["magface", "opt"],
        ["magface", "optimised magface"],
    ],
)
def test_other_names_make_no_pair(names: list[str]) -> None:
    assert find_pairs(names) == []


def test_pairs_stand_in_the_order_of_what_was_optimised() -> None:
    names = ["b+opt", "a (optimised)", "a", "a+opt", "b"]

    assert find_pairs(names) == [("a", "a (optimised)"), ("a", "a+opt"), ("b", "b+opt")]


def test_what_the_report_adds_to_names_is_kept_apart() -> None:
    names = ["a (run 1)", "a (run 2)", "a+opt (run 2)", "b", "b (optimised) (run 3)", "c on x"]

    assert find_pairs([*names, "c+opt on x"]) == [
        ("a (run 2)", "a+opt (run 2)"),
        ("b", "b (optimised) (run 3)"),
        ("c on x", "c+opt on x"),
    ]
