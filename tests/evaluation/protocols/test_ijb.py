import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.ijb import read_ijb

MEMBERS = "1.png 7 100\n2.png 7 100\n3.png 9 101\n2.png 12 102\n"
PAIRS = "7 9 1\n12 9 0\n"
POINTS = [np.arange(10) + 0.5 * i for i in range(4)]


@pytest.fixture(params=["ijbb", "ijbc"])
def benchmark_name(request):
    return request.param


@pytest.fixture
def ijb(make_images, benchmark_name):
    root = make_images(*(f"loose_crop/{i}.png" for i in (1, 2, 3)))
    landmarks = "".join(f"{i}.png {' '.join(map(str, POINTS[i]))} 0.99\n" for i in (3, 1, 2))

    def write(members=MEMBERS, pairs=PAIRS, landmarks=landmarks):
        (root / "meta").mkdir(exist_ok=True)
        for name, text in (
            ("face_tid_mid", members),
            ("template_pair_label", pairs),
            ("name_5pts_score", landmarks),
        ):
            (root / "meta" / f"{benchmark_name}_{name}.txt").write_text(text)
        return root

    return write


def test_a_benchmark(ijb, benchmark_name):
    root = ijb()
    found = read_ijb(root, benchmark_name)
    assert found.name == {"ijbb": "IJB-B", "ijbc": "IJB-C"}[benchmark_name]
    assert found.samples == ("1.png", "2.png", "3.png")
    assert list(found.sources) == [f"{root}/loose_crop/{i}.png" for i in (1, 2, 3)]
    assert found.templates == ("7", "9", "12")
    assert found.template_sample.tolist() == [0, 1, 2, 1]
    assert found.template_of.tolist() == [0, 0, 1, 2]
    assert found.media_of.tolist() == [0, 0, 1, 2]
    assert (found.template_a.tolist(), found.template_b.tolist()) == ([0, 2], [1, 1])
    assert found.mated.tolist() == [True, False]
    np.testing.assert_array_equal(found.landmarks[2].ravel(), POINTS[3].astype(np.float32))
    assert found.landmarks.shape == (3, 5, 2)
    assert not found.aligned


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pairs": "7 9 1\n7 8 0\n"}, "got 1 comparisons of others: 8; add"),
        ({"pairs": ""}, "one comparison or more"),
        ({"pairs": "7 9\n"}, "Expected 3 columns, got 2"),
        ({"pairs": "7 9 1\n7 x 0\n"}, "Row #2.*'x'"),
        ({"pairs": "7 9 1\n9 7 0\n"}, "both: 7 with 9"),
        ({"members": ""}, "comparisons of others"),
        ({"members": MEMBERS + "4.png 9 103\n"}, "1 without a file: 4.png"),
        ({"landmarks": "1.png 1 2 3 4 5 6 7 8 9 10 1\n"}, "got none for 2.png, 3.png"),
        ({"landmarks": "1.png 1 2 3 4 5 6 7 8 9 nan 1\n"}, "got none for 1.png, 2.png, 3.png"),
        ({"landmarks": "1.png 1 2 3\n"}, "Expected 12 columns, got 4"),
    ],
)
def test_damaged_lists(ijb, benchmark_name, changed, said):
    with pytest.raises(InvalidArgumentError, match=said):
        read_ijb(ijb(**changed), benchmark_name)


def test_a_missing_list(ijb, benchmark_name):
    root = ijb()
    (root / "meta" / f"{benchmark_name}_template_pair_label.txt").unlink()
    with pytest.raises(InvalidArgumentError, match="a readable text file"):
        read_ijb(root, benchmark_name)
