from __future__ import annotations

from fiqa_fast.evaluation.sample_names import SampleNames

NAMES = SampleNames(["a/1.png", "b/1.png", "2.png"])


def test_equal_names_and_longer_paths_are_found() -> None:
    given = ["b/1.png", "./a/1.png", "/data/x/a/1.png", "C:\\data\\2.png", "x/2.png"]

    assert NAMES.find_all(given).tolist() == [1, 0, 0, 2, 2]


def test_others_are_not() -> None:
    assert NAMES.find_all(["1.png", "c/1.png", "aa/1.png2", "", "12.png"]).tolist() == [-1] * 5
