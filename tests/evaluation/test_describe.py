from __future__ import annotations

import numpy as np
import pytest

from fiqa_fast.evaluation.describe import describe_scores
from fiqa_fast.evaluation.inputs import MethodScores
from fiqa_fast.evaluation.result import EvaluationResult, join_results

SCORES = np.random.default_rng(0).random(50)


def test_histograms_and_agreement_follow_the_polarity() -> None:
    gaps = np.where(np.arange(50) < 5, np.nan, SCORES)
    methods = [
        MethodScores("a", "net", True, SCORES),
        MethodScores("b", "net", False, -gaps),
        MethodScores("none", "net", True, np.full(50, np.nan)),
    ]

    result = describe_scores("set", methods)

    assert [(d.method, sum(d.counts), d.missing) for d in result.distributions] == [
        ("a", 50, 0), ("b", 45, 5),
    ]  # fmt: skip
    (agreement,) = result.agreements
    assert agreement.methods == ("a", "b")
    assert agreement.spearman[0][1] == pytest.approx(1)
    assert agreement.kendall[0][1] == pytest.approx(1)


def test_one_method_agrees_with_nothing() -> None:
    assert describe_scores("set", [MethodScores("a", "", True, SCORES)]).agreements == ()


def test_joined_results_have_the_records_of_all() -> None:
    parts = [describe_scores(name, [MethodScores("a", "", True, SCORES)]) for name in "xy"]
    noted = EvaluationResult(title="", notes=("small",))

    joined = join_results("both", {"a": "b"}, [noted, *parts])

    assert [d.data_set for d in joined.distributions] == ["x", "y"]
    assert (joined.title, joined.settings, joined.notes) == ("both", {"a": "b"}, ("small",))
