import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.quality.comparisons import read_comparisons

HEADER = "sample_a,sample_b,mated,comparison_score\n"


def test_values_and_spellings(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(
        '\ufeffcomparison_score,mated,sample_b,sample_a,note\n0.5,1,"b, c.jpg",a.jpg,x\n'
        "-2e-1,FALSE,a.jpg,d.jpg,\n3,true,d.jpg,a.jpg,\n4, 0 ,d.jpg,a.jpg,\n"
    )
    found = read_comparisons(path)
    assert found.samples == ("a.jpg", "b, c.jpg", "d.jpg")
    assert found.sample_a.tolist() == [0, 2, 0, 0]
    assert found.sample_b.tolist() == [1, 0, 2, 2]
    assert found.mated.tolist() == [True, False, True, False]
    assert found.scores.tolist() == [0.5, -0.2, 3, 4]
    assert found.scores.dtype == np.float64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got none named sample_a, sample_b, mated, comparison_score"),
        ("sample_a,sample_b,mated\n", "got none named comparison_score"),
        (HEADER + "a,b,1,0.5\na,b,yes,0.5\n", "got 'yes' and '0.5' in line 3"),
        (HEADER + "a,b,1,high\n", "got '1' and 'high' in line 2"),
        (HEADER + "a,b,1,nan\n", "got '1' and 'nan' in line 2"),
        (HEADER + "a,b,1\n", "got '1' and None in line 2"),
        (HEADER + "a\n", "got None and None in line 2"),
        (HEADER, "got 0 mated ones of 0"),
        (HEADER + "a,b,1,0.5\n", "got 1 mated ones of 1"),
        (HEADER + "a,b,0,0.5\n", "got 0 mated ones of 1"),
    ],
)
def test_wrong_files(tmp_path, text, message):
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(InvalidArgumentError, match=message):
        read_comparisons(path)


@pytest.mark.parametrize("content", [None, b"sample_a\xff\n", b"\x89PNG\r\n\x1a\n\0\0"])
def test_files_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "pairs.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match="expected a readable CSV file of comparisons"):
        read_comparisons(path)
