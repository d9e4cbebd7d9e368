import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.quality.reference import read_score_table, split_sources
from fiqa_fast.results import SCHEMA


def make_row(path, raw_score, **changes):
    row = {
        "path": path,
        "status": "ok" if raw_score is not None else "failed",
        "scorer": "grafiqs",
        "output": "b2",
        "raw_score": raw_score,
        "higher_is_better": False,
        "backbone": "sface",
        "weights_sha256": "ab" * 32,
        "bn_statistics": "training",
        "variant": "official",
        "parameters": "{}",
        "precision": "float32",
        "version": "0.1.0",
    }
    return row | changes


def make_table(rows):
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def test_every_difference_makes_a_source_of_its_own():
    differences = [
        {},
        {"scorer": "faceqan", "higher_is_better": True},
        {"output": "b3"},
        {"variant": "paper"},
        {"parameters": '{"k": 3}'},
        {"backbone": "other"},
        {"weights_sha256": "cd" * 32},
        {"bn_statistics": "re-estimated over 186 crops, abc"},
    ]
    rows = [
        make_row(f"{i}.jpg", i + number / 10, **changes)
        for i in range(3)
        for number, changes in enumerate(differences)
    ]
    found = split_sources(make_table([*rows, make_row("blank.jpg", None)]))
    assert len(found) == len(differences)
    for number, (reference, changes) in enumerate(zip(found, differences, strict=True)):
        assert reference.paths == ("0.jpg", "1.jpg", "2.jpg")
        assert reference.raw_scores.tolist() == [i + number / 10 for i in range(3)]
        assert reference.version == "0.1.0"
        for name, value in changes.items():
            assert getattr(reference.source, name) == value


def test_both_exact_precisions_and_several_versions_go_together():
    rows = [
        make_row("a.jpg", 1.0, precision="float64", version="0.2.0"),
        make_row("b.jpg", 2.0),
        make_row("c.jpg", float("nan")),
    ]
    (reference,) = split_sources(make_table(rows))
    assert reference.paths == ("a.jpg", "b.jpg")
    assert reference.version == "0.1.0, 0.2.0"


def test_coarse_precisions_are_refused_by_name():
    rows = [make_row("a.jpg", 1.0), make_row("b.jpg", 1.0, precision="bf16")]
    with pytest.raises(InvalidArgumentError, match=r"float32 or float64, got some in bf16"):
        split_sources(make_table(rows))
    without_score = make_row("b.jpg", None, precision="bf16")
    assert len(split_sources(make_table([make_row("a.jpg", 1.0), without_score]))) == 1


@pytest.mark.parametrize("rows", [[], [make_row("a.jpg", None)]])
def test_no_scores_at_all(rows):
    with pytest.raises(InvalidArgumentError, match=f"got none among {len(rows)} rows"):
        split_sources(make_table(rows))


@pytest.mark.parametrize("content", [None, b"", b"path,raw_score\n"])
def test_files_that_are_no_parquet(tmp_path, content):
    path = tmp_path / "scores.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match="expected a readable table of scores"):
        read_score_table(path)


def test_a_table_without_a_column(tmp_path):
    path = tmp_path / "scores.parquet"
    table = make_table([make_row("a.jpg", 1.0)])
    pq.write_table(table.drop_columns(["parameters", "bn_statistics"]), path)
    with pytest.raises(InvalidArgumentError, match="without the columns parameters, bn_statistics"):
        read_score_table(path)
    pq.write_table(table, path)
    assert split_sources(read_score_table(path))[0].paths == ("a.jpg",)
