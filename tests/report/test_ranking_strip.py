from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.report.ranking import rank_faces
from fiqa_fast.report.ranking_strip import (
    STRIP_FACES,
    make_strips,
    pick_strip,
    picture_strips,
    rank_percents,
)
from fiqa_fast.report.scores import OutputScores, read_scores

NAN = float("nan")


def output(raw: list[float], quality: list[float] | None = None, better: bool = True) -> Any:
    return OutputScores(
        scorer="a",
        output="score",
        higher_is_better=better,
        face=np.arange(len(raw)),
        raw=np.array(raw, np.float64),
        quality=np.array(quality if quality else [NAN] * len(raw)),
        quality_reasons=(),
    )


def test_the_worst_face_stands_first_whatever_the_polarity() -> None:
    raw = list(np.random.default_rng(0).permutation(100).astype(float))

    assert [raw[i] for i in pick_strip(output(raw), 4)] == [0, 33, 66, 99]
    assert [raw[i] for i in pick_strip(output(raw, better=False), 4)] == [99, 66, 33, 0]


def test_quality_ranks_before_the_raw_score() -> None:
    assert pick_strip(output([1, 2, 3, 4], [50, 10, 100, 100])).tolist() == [1, 0, 2, 3]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60),
    st.integers(2, 12),
)
def test_a_strip_is_part_of_the_contact_sheet(rows: list[tuple[int, int]], count: int) -> None:
    one = output([float(r) for r, _ in rows], [float(q) for _, q in rows])

    order = rank_faces(one, len(rows)).best.tolist()
    picked = pick_strip(one, count).tolist()

    places = [order.index(position) for position in picked]
    assert places == sorted(places, reverse=True)
    assert len(places) == len(set(places)) == min(count, len(rows))
    assert (places[0], places[-1]) == (len(rows) - 1, 0) or len(rows) == 1


def test_percents() -> None:
    assert rank_percents(1001, 5) == [0, 25, 50, 75, 100]
    assert rank_percents(3, 10) == [0, 50, 100]
    assert rank_percents(2, 2) == [0, 100]
    with pytest.raises(InvalidArgumentError, match="count"):
        pick_strip(output([1.0, 2.0]), 1)


def test_faces_of_a_strip_say_what_they_are(make_table: Any, scored: Any) -> None:
    rows = [scored(f"x/{i}.jpg", float(i), quality=90.0 - i) for i in range(30)]
    rows.append(scored("x/0.jpg", 1.0, scorer="alone", output="score"))
    scores = read_scores(make_table(rows))
    picked = [pick_strip(one) for one in scores.outputs]

    strips = make_strips(scores, picked, {face: face + 100 for face in range(30)})

    (strip,) = strips  # a single face is no strip
    assert strip.name == "grafiqs/b2"
    assert len(strip.faces) == STRIP_FACES
    worst = strip.faces[0]
    assert (worst.thumbnail, worst.percent, worst.name) == (129, 0, "29.jpg")
    assert worst.description == (
        "Rank 0% of grafiqs/b2: face 0 of 29.jpg, raw score 29.00, quality 61.0"
    )


def test_pictures_are_those_of_the_photographs(
    make_table: Any, scored: Any, photo: Path, tmp_path: Path
) -> None:
    rows = [scored(str(photo), 1.0), scored(str(tmp_path / "gone.jpg"), 2.0)]

    (strip,) = picture_strips(make_table(rows))

    assert strip.percents == (0, 100)
    worst, best = strip.pictures  # grafiqs: lower is better
    assert worst is None
    assert best is not None
    assert best.shape == (112, 112, 3)
    assert best.dtype == np.uint8
    assert best.std() > 20
