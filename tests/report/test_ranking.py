from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.report.ranking import rank_faces
from fiqa_fast.report.scores import OutputScores


def outputs(
    raw: list[float], quality: list[float] | None = None, *, higher_is_better: bool = True
) -> OutputScores:
    return OutputScores(
        scorer="s",
        output="o",
        higher_is_better=higher_is_better,
        face=np.arange(len(raw)),
        raw=np.array(raw),
        quality=np.full(len(raw), np.nan) if quality is None else np.array(quality),
        quality_reasons=(),
    )


def test_quality_ranks_where_every_face_has_one() -> None:
    ranked = rank_faces(outputs([1, 2, 3], [90, 10, 50]), 10)

    assert ranked.best.tolist() == [0, 2, 1]
    assert ranked.by_quality


def test_raw_score_ranks_where_some_quality_is_missing() -> None:
    scores = outputs([1, 2, 3], [90, float("nan"), 50], higher_is_better=False)
    ranked = rank_faces(scores, 10)

    assert ranked.best.tolist() == [0, 1, 2]
    assert not ranked.by_quality


def test_equal_quality_is_ranked_by_raw_score_then_by_the_tables_order() -> None:
    scores = outputs([3, 1, 2, 1], [100, 100, 100, 100], higher_is_better=False)

    assert rank_faces(scores, 10).best.tolist() == [1, 3, 2, 0]


@pytest.mark.parametrize("max_faces", [1, 2, 5, 7])
def test_the_middle_is_left_out(max_faces: int) -> None:
    ranked = rank_faces(outputs(list(map(float, range(10)))), max_faces)

    shown = [*ranked.best, *ranked.worst]
    assert len(shown) == max_faces
    assert ranked.left_out == 10 - max_faces
    assert ranked.best.tolist() == list(range(9, 9 - len(ranked.best), -1))
    assert ranked.worst.tolist() == list(range(len(ranked.worst) - 1, -1, -1))
    assert 0 <= len(ranked.best) - len(ranked.worst) <= 1
    assert ranked.first_worst_rank == 10 - len(ranked.worst) + 1


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(1, 40), st.booleans())
def test_shown_faces_are_distinct_and_in_order(
    raw: list[float], max_faces: int, higher_is_better: bool
) -> None:
    scores = outputs(raw, higher_is_better=higher_is_better)
    ranked = rank_faces(scores, max_faces)

    shown = np.concatenate([ranked.best, ranked.worst])
    assert len(set(shown.tolist())) == len(shown) == len(raw) - ranked.left_out
    assert (np.diff(scores.oriented[shown]) <= 0).all()
