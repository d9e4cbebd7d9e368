import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.embedding_files import read_embeddings

NAMES = ["b", "x/a.png", "c d"]
ROWS = np.random.default_rng(0).normal(size=(3, 5))


def _npy(folder, names, rows):
    np.save(folder / "e.npy", rows)
    (folder / "e.txt").write_text("\n".join(names) + "\n")
    return folder / "e.npy"


def _npz(folder, names, rows):
    np.savez(folder / "e.npz", names=np.array(names), embeddings=rows)
    return folder / "e.npz"


def _parquet(folder, names, rows):
    table = pa.table({"embedding": pa.array(list(map(list, rows))), "sample": names})
    pq.write_table(table, folder / "e.parquet")
    return folder / "e.parquet"


@pytest.fixture(params=[_npy, _npz, _parquet])
def write(request, tmp_path):
    return lambda names=NAMES, rows=ROWS: request.param(tmp_path, names, rows)


def test_rows_come_in_the_order_of_the_samples(write):
    found = read_embeddings(write(), ("x/a.png", "b"))
    np.testing.assert_array_equal(found.embeddings, ROWS[[1, 0]].astype(np.float32))
    assert found.embeddings.dtype == np.float32
    assert found.samples == ("x/a.png", "b")
    assert found.reasons == {}


def test_missing_samples(write):
    path = write()
    with pytest.raises(InvalidArgumentError, match=r"all 3 samples, got none for y, z; its names"):
        read_embeddings(path, ("b", "y", "z"))
    found = read_embeddings(path, ("b", "y", "z"), allow_missing=True)
    assert np.isnan(found.embeddings).all(1).tolist() == [False, True, True]
    assert set(found.reasons) == {"y", "z"}
    with pytest.raises(InvalidArgumentError, match=r"such as b, x/a.png, c d: they must be"):
        read_embeddings(path, ("y", "z"), allow_missing=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1e39])
def test_rows_without_a_direction(write, value):
    rows = ROWS.copy()
    rows[1] = value
    with pytest.raises(InvalidArgumentError, match=r"zeros alone for x/a\.png; leave"):
        read_embeddings(write(rows=rows), ("b",))


def test_a_name_twice(write):
    with pytest.raises(InvalidArgumentError, match=r"each sample once in .* several rows of b;"):
        read_embeddings(write(names=["b", "c", "b"]), ("b",))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS.ravel(), r"shape \[S, D\] .* float64 \[15\]"),
        (np.ones((3, 2), int), r"int64 \[3, 2\]"),
        (ROWS[:2], "a name for each of the 2 rows .* got 3"),
        (ROWS[:, :0], r"float64 \[3, 0\]"),
    ],
)
@pytest.mark.parametrize("write", [_npy, _npz])
def test_other_arrays(tmp_path, write, rows, said):
    with pytest.raises(InvalidArgumentError, match=said):
        read_embeddings(write(tmp_path, NAMES, rows), ("b",))


def test_lists_of_different_lengths(tmp_path):
    path = _parquet(tmp_path, ["a", "b"], [[1.0, 2.0], [1.0]])
    with pytest.raises(InvalidArgumentError, match=r"one length in .* got 1 to 2"):
        read_embeddings(path, ("a",))


def test_lists_of_a_fixed_size(tmp_path):
    column = pa.FixedSizeListArray.from_arrays(pa.array(ROWS.ravel(), pa.float32()), 5)
    pq.write_table(pa.table({"sample": NAMES, "embedding": column}), tmp_path / "e.parquet")
    found = read_embeddings(tmp_path / "e.parquet", NAMES)
    np.testing.assert_array_equal(found.embeddings, ROWS.astype(np.float32))


@pytest.mark.parametrize(
    "table",
    [
        {"sample": ["a"], "embedding": [1.0]},
        {"sample": ["a"], "embedding": pa.array([None], pa.list_(pa.float32()))},
        {"name": ["a"], "embedding": [[1.0]]},
    ],
)
def test_other_tables(tmp_path, table):
    pq.write_table(pa.table(table), tmp_path / "e.parquet")
    with pytest.raises(InvalidArgumentError, match=r"embeddings: expected"):
        read_embeddings(tmp_path / "e.parquet", ("a",))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet", ".csv"])
def test_files_of_another_kind(tmp_path, suffix):
    path = tmp_path / f"e{suffix}"
    for content in (None, b"", b"something else", b"\x80\x04."):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InvalidArgumentError, match=r"\.npz with names and embeddings"):
            read_embeddings(path, ("a",))


def test_pickled_arrays_are_not_read(tmp_path):
    np.save(tmp_path / "e.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "e.npz", names=np.array(["a"], object), embeddings=ROWS[:1])
    for name in ("e.npy", "e.npz"):
        with pytest.raises(InvalidArgumentError, match="a readable file"):
            read_embeddings(tmp_path / name, ("a",))
