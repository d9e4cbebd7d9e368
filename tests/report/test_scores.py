from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.report.scores import NOT_FINITE, Failure, read_scores


def test_faces_and_outputs_keep_the_tables_order(make_table: Any, scored: Any) -> None:
    table = make_table(
        [
            scored("z.jpg", 3.0, scorer="faceqan", output="score", higher_is_better=True),
            scored("a.jpg", 2.0, face_index=1),
            scored("a.jpg", 1.0, face_index=0),
            scored("a.jpg", 0.5, face_index=1, scorer="faceqan", output="score"),
        ]
    )

    scores = read_scores(table)

    assert [(face.path, face.face_index, face.row) for face in scores.faces] == [
        ("z.jpg", 0, 0),
        ("a.jpg", 1, 1),
        ("a.jpg", 0, 2),
    ]
    assert scores.image_count == 2
    assert [output.name for output in scores.outputs] == ["faceqan", "grafiqs/b2"]
    faceqan, grafiqs = scores.outputs
    assert faceqan.face.tolist() == [0, 1]
    assert faceqan.raw.tolist() == [3.0, 0.5]
    assert grafiqs.face.tolist() == [1, 2]
    assert grafiqs.oriented.tolist() == [-2.0, -1.0]


def test_default_outputs_come_first(make_table: Any, scored: Any) -> None:
    names = [("grafiqs", "mse_bns"), ("grafiqs", "b2"), ("unheard_of", "x"), ("faceqan", "score")]
    table = make_table([scored("a.jpg", 1.0, scorer=s, output=o) for s, o in names])

    assert [output.name for output in read_scores(table).outputs] == [
        "grafiqs/b2",
        "unheard_of/x",
        "faceqan",
        "grafiqs/mse_bns",
    ]


def test_failures_are_distinct_and_sorted(make_table: Any, scored: Any, failed: Any) -> None:
    table = make_table(
        [
            failed("b.jpg", "no_face", "none found", face_index=None),
            failed("a.jpg", "empty_file", "0 bytes"),
            failed("a.jpg", "empty_file", "0 bytes", scorer="faceqan", output="score"),
            scored("c.jpg", 1.0),
        ]
    )

    scores = read_scores(table)

    assert scores.failures == (
        Failure("a.jpg", 0, "empty_file", "0 bytes"),
        Failure("b.jpg", 0, "no_face", "none found"),
    )
    assert scores.image_count == 3


@pytest.mark.parametrize("raw", [None, float("nan"), float("inf")])
def test_a_scored_row_without_a_number_is_a_failure(
    make_table: Any, scored: Any, raw: float | None
) -> None:
    scores = read_scores(make_table([scored("a.jpg", raw), scored("b.jpg", 1.0)]))

    assert [failure.reason for failure in scores.failures] == [NOT_FINITE]
    assert "grafiqs/b2" in scores.failures[0].note
    assert scores.outputs[0].raw.tolist() == [1.0]


def test_missing_quality_is_nan_with_its_reason(make_table: Any, scored: Any) -> None:
    table = make_table(
        [
            scored("a.jpg", 1.0, quality=None, quality_reason="no calibration"),
            scored("b.jpg", 2.0, quality=70.0),
        ]
    )

    (output,) = read_scores(table).outputs

    np.testing.assert_array_equal(output.quality, [np.nan, 70.0])
    assert not output.has_quality
    assert output.quality_reasons == ("no calibration",)


def test_bytes_that_are_not_utf8_still_name_the_file(make_table: Any, scored: Any) -> None:
    table = make_table([scored("a.jpg", 1.0)])
    # A view, since a cast would check that the bytes are UTF-8.
    path = pa.array([b"caf\xe9.jpg"], pa.binary()).view(pa.string())
    table = table.set_column(0, "path", path)

    assert read_scores(table).faces[0].path == "caf\udce9.jpg"


def test_chunked_tables_read_like_whole_ones(make_table: Any, scored: Any) -> None:
    rows = [scored(f"{i % 3}.jpg", float(i), face_index=i % 2) for i in range(12)]
    whole = read_scores(make_table(rows))
    chunked = read_scores(pa.concat_tables([make_table(rows[:5]), make_table(rows[5:])]))

    assert chunked.faces == whole.faces
    np.testing.assert_array_equal(chunked.outputs[0].face, whole.outputs[0].face)
    np.testing.assert_array_equal(chunked.outputs[0].raw, whole.outputs[0].raw)


def test_an_empty_table_has_nothing(make_table: Any) -> None:
    scores = read_scores(make_table([]))

    assert (scores.image_count, scores.faces, scores.outputs, scores.failures) == (0, (), (), ())


def test_a_table_of_something_else_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="without the columns path, face_index"):
        read_scores(pa.table({"x": [1]}))
