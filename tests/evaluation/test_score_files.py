from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.evaluation.score_files import read_scores


@pytest.fixture
def protocol() -> Protocol:
    pairs = np.zeros(1, dtype=np.int32)
    return Protocol(
        "d", ("a/1.png", "a/2.png", "b/1.png"), (), True, None, pairs, pairs + 1, pairs > 0
    )


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_column_for_each_method(protocol: Protocol, tmp_path: Path, delimiter: str) -> None:
    text = "sample,grafiqs/b2,mine\nb/1.png,3,\n/x/a/1.png,1,nan\nother.png,9,9\n"
    path = write(tmp_path, "scores.csv", text.replace(",", delimiter))

    grafiqs, mine = read_scores(path, protocol)

    assert (grafiqs.method, grafiqs.higher_is_better) == ("grafiqs/b2", False)
    np.testing.assert_array_equal(grafiqs.raw_scores, [1, np.nan, 3])
    assert (mine.method, mine.higher_is_better) == ("mine", True)
    assert np.isnan(mine.raw_scores).all()


def test_the_polarity_of_unknown_methods_can_be_given(protocol: Protocol, tmp_path: Path) -> None:
    path = write(tmp_path, "s.csv", "sample,mine\na/1.png,1\n")

    assert not read_scores(path, protocol, lower_is_better=["mine"])[0].higher_is_better


def test_lines_of_sample_and_score(protocol: Protocol, tmp_path: Path) -> None:
    path = write(tmp_path, "CRFIQAL_lfw.txt", "data/a/1.png 0.5\ndata/a/2.png -1e-3\n\n")

    (method,) = read_scores(path, protocol)

    assert method.method == "CRFIQAL_lfw"
    np.testing.assert_array_equal(method.raw_scores, [0.5, -0.001, np.nan])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected scores in .*, got an empty file"),
        ("sample,m\na/1.png,high\n", "a number in line 2 of .* got 'a/1.png' and 'high'"),
        ("a/1.png,1\na/2.png,2\n", "expected a header line such as sample,method"),
        ("sample,m\na/1.png,1\nx/a/1.png,2\n", r"each sample once in .*, got a/1\.png 2 times"),
        ("sample,m\nz.png,1\n", r"names such as a/1\.png in .* but such as z\.png"),
        ("a/1.png\n", "a number in line 1"),
    ],
)
def test_wrong_files(protocol: Protocol, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        read_scores(write(tmp_path, "s.csv", text), protocol)


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet"])
def test_a_missing_file(protocol: Protocol, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="expected a readable file of scores, got"):
        read_scores(tmp_path / name, protocol)


def test_a_damaged_parquet_file(protocol: Protocol, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="expected a readable file of scores"):
        read_scores(write(tmp_path, "s.parquet", "PAR1 nonsense"), protocol)
