import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.data.labels import read_labels


@pytest.fixture
def numbers(memory_set):
    """A set whose names are digits, as those of RecordIO are."""
    return memory_set([0, 0, 1], samples=("1", "02", "3"))


def write(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    return tmp_path / "labels.csv"


def test_rows_in_any_order_with_other_columns_and_samples(tmp_path, numbers):
    path = write(tmp_path, "label,note,sample\n.25,x,3\n1,x,1\n9,x,77\n-2e-1,x,02\n")
    found = read_labels(path, numbers)
    assert found.tolist() == pytest.approx([1, -0.2, 0.25])
    assert found.dtype.name == "float32"


def test_names_of_empty_or_odd_text_are_names(tmp_path, memory_set):
    training_set = memory_set([0, 0], samples=("nan", "faces/a,b.jpg"))
    path = write(tmp_path, 'sample,label\nnan,1\n"/data/faces/a,b.jpg",2\n')
    assert read_labels(path, training_set).tolist() == [1, 2]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.int64()])
def test_parquet(tmp_path, memory_set, kind):
    training_set = memory_set([0, 0], samples=("1", "2"))
    table = pa.table(
        {"sample": pa.array(["2", "1"]).cast(kind), "label": pa.array([3, 4], pa.int8())}
    )
    pq.write_table(table, tmp_path / "labels.parquet")
    assert read_labels(tmp_path / "labels.parquet", training_set).tolist() == [4, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sample,label\n1,1\n02,1\n", "got none for 3"),
        ("sample,label\n1,1\n02,1\n3,1\n1,2\n", "got several for 1"),
        ("sample,label\n1,1\n02,nan\n3,1\n", r"1 that are not: 02 \(nan\)"),
        ("sample,label\n1,1\n02,\n3,1\n", r"1 that are not: 02 \(nan\)"),
        ("sample,label\n1,1\n02,inf\n3,1\n", r"1 that are not: 02 \(inf\)"),
        ("sample,label\na.jpg,1\n", r"names such as 1 in .*, but such as a\.jpg"),
        ("sample,label\n", r"but such as \(nothing\)"),
        ("sample,quality\n1,1\n", "with the columns sample,label"),
        ("sample,label\n1,high\n", "with the columns sample,label"),
        ("", "with the columns sample,label"),
    ],
)
def test_files_that_do_not_fit(tmp_path, numbers, text, said):
    with pytest.raises(InvalidArgumentError, match=said):
        read_labels(write(tmp_path, text), numbers)


def test_files_that_cannot_be_read(tmp_path, numbers):
    with pytest.raises(InvalidArgumentError, match="with the columns sample,label, got"):
        read_labels(tmp_path / "none.csv", numbers)
    pq.write_table(pa.table({"sample": ["1"]}), tmp_path / "labels.parquet")
    with pytest.raises(InvalidArgumentError, match="with the columns sample,label, got"):
        read_labels(tmp_path / "labels.parquet", numbers)
