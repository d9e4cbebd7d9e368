import numpy as np
import pytest

from fiqa_fast.training.data.index_cache import remembered_index


@pytest.fixture
def described(tmp_path):
    file = tmp_path / "large"
    file.write_bytes(b"content")
    calls = []

    def ask(folder=tmp_path / "indices", **options):
        def build():
            calls.append(1)
            return {"offset": np.arange(len(calls))}

        return len(remembered_index([file], build, folder, **options)["offset"])

    return file, ask


def test_an_index_is_built_once_for_each_content_and_options(described):
    file, ask = described
    assert [ask(), ask()] == [1, 1]
    assert [ask(options="label"), ask()] == [2, 1]
    file.write_bytes(b"other content")
    assert [ask(), ask()] == [3, 3]


def test_a_damaged_index_is_built_again(described, tmp_path):
    _, ask = described
    ask()
    (kept,) = (tmp_path / "indices").iterdir()
    for damage in (b"", b"no zip", kept.read_bytes()[:-30]):
        kept.write_bytes(damage)
        before = ask()
        assert before > 1
        assert ask() == before


def test_a_folder_that_cannot_be_written_to(described, tmp_path):
    _, ask = described
    (tmp_path / "taken").write_bytes(b"")
    assert [ask(tmp_path / "taken" / "x"), ask(tmp_path / "taken" / "x")] == [1, 2]


def test_the_default_is_the_users_cache(described, tmp_path, monkeypatch):
    monkeypatch.setenv("FIQA_FAST_CACHE", str(tmp_path / "user"))
    _, ask = described
    assert [ask(None), ask(None)] == [1, 1]
    assert len(list((tmp_path / "user" / "training_indices").iterdir())) == 1
