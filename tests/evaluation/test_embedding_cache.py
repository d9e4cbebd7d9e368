import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import ResultsError
from fiqa_fast.evaluation.embedding_cache import EmbeddingCache, EmbeddingFacts
from fiqa_fast.evaluation.protocols.base import Protocol

FACTS = EmbeddingFacts(
    network="net",
    weights_sha256="ab" * 32,
    bn_statistics="training",
    precision="float32",
    engine="torch",
    device="cpu",
    augmentation="none",
    max_megapixels=64.0,
)
COUNT, SIZE = 10, 4
ROWS = np.random.default_rng(0).normal(size=(COUNT, SIZE)).astype(np.float32)
REASONS = {3: "no_face: none", 8: "not_an_image: text"}
EXPECTED = ROWS.copy()
EXPECTED[[3, 8]] = np.nan


def _protocol(sources=None, **changes):
    fields = {
        "name": "Set",
        "samples": tuple(f"s{i}" for i in range(COUNT)),
        "sources": sources or tuple(bytes([i]) for i in range(COUNT)),
        "aligned": True,
        "identity": None,
        "sample_a": np.array([0], np.int32),
        "sample_b": np.array([1], np.int32),
        "mated": np.array([True]),
    }
    return Protocol(**{**fields, **changes})


class Network:
    """Computes the rows that are asked for, two at a time; may be killed after some."""

    def __init__(self, batches=99, reasons=REASONS):
        self.asked, self.batches, self.reasons = [], batches, reasons

    def __call__(self, todo):
        for start in range(0, len(todo), 2):
            if self.batches == 0:
                raise KeyboardInterrupt
            self.batches -= 1
            numbers = list(todo[start : start + 2])
            self.asked += numbers
            rows = ROWS[numbers].copy()
            failed = {n: self.reasons[n] for n in numbers if n in self.reasons}
            rows[[n in failed for n in numbers]] = np.nan
            yield numbers, rows, failed


def _fill(folder, network, protocol=None, facts=FACTS):
    rows, reasons = EmbeddingCache(folder, facts, protocol or _protocol(), SIZE).fill(network)
    np.testing.assert_array_equal(rows, EXPECTED)
    assert reasons == network.reasons
    return rows


def test_rows_are_computed_once(tmp_path):
    first, second = Network(), Network()
    rows = _fill(tmp_path / "new" / "folder", first)
    assert isinstance(rows, np.memmap)
    assert not rows.flags.writeable
    _fill(tmp_path / "new" / "folder", second)
    assert (first.asked, second.asked) == (list(range(COUNT)), [])
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("batches", range(5))
def test_a_run_that_was_killed_goes_on(tmp_path, batches):
    with pytest.raises(KeyboardInterrupt):
        _fill(tmp_path, Network(batches))
    assert not EmbeddingCache(tmp_path, FACTS, _protocol(), SIZE).path.exists()
    network = Network()
    _fill(tmp_path, network)
    assert network.asked == list(range(2 * batches, COUNT))


def test_a_process_that_was_killed_goes_on(tmp_path):
    """The end of the process itself, without any clean-up."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); import test_embedding_cache as t\n"
        "from pathlib import Path\n"
        "network = t.Network(3)\n"
        "def batches(todo):\n"
        "    try: yield from network(todo)\n"
        "    except KeyboardInterrupt: os._exit(9)\n"
        "t.EmbeddingCache(Path(sys.argv[2]), t.FACTS, t._protocol(), t.SIZE).fill(batches)\n"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", code, here, str(tmp_path)], check=False)
    assert done.returncode == 9
    network = Network()
    _fill(tmp_path, network)
    assert network.asked == list(range(6, COUNT))


def test_a_journal_that_was_cut_off(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _fill(tmp_path, Network(3))
    (journal,) = tmp_path.glob("*.jsonl.part")
    os.truncate(journal, journal.stat().st_size - 5)
    network = Network()
    _fill(tmp_path, network)
    assert network.asked == list(range(4, COUNT))
    _fill(tmp_path, network := Network())
    assert network.asked == []


def test_a_damaged_row_is_computed_again(tmp_path):
    _fill(tmp_path, Network())
    path = EmbeddingCache(tmp_path, FACTS, _protocol(), SIZE).path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    network = Network()
    _fill(tmp_path, network)
    assert network.asked == [8, 9]
    _fill(tmp_path, network := Network())
    assert network.asked == []


@given(data=st.data())
def test_whatever_happened_to_the_files_the_rows_are_right(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cache")
    _fill(folder, Network())
    files = sorted(path for path in folder.iterdir() if path.suffix in (".npy", ".jsonl"))
    assert len(files) == 2
    for position in data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=2, unique=True)):
        path = files[position]
        content = bytearray(path.read_bytes())
        what = data.draw(st.sampled_from(["flip", "cut", "lengthen", "remove", "replace"]))
        if what == "flip":
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(
                st.integers(0, 7)
            )
        elif what == "cut":
            del content[data.draw(st.integers(0, len(content))) :]
        elif what == "lengthen":
            content += data.draw(st.binary(min_size=1, max_size=9))
        elif what == "replace":
            content = bytearray(data.draw(st.binary(max_size=50)))
        if what == "remove":
            path.unlink()
        else:
            path.write_bytes(content)
    rows, _ = EmbeddingCache(folder, FACTS, _protocol(), SIZE).fill(Network())
    np.testing.assert_array_equal(rows, EXPECTED)


def test_files_of_somebody_else_are_not_trusted(tmp_path):
    cache = EmbeddingCache(tmp_path, FACTS, _protocol(), SIZE)
    for foreign in (np.zeros((COUNT, SIZE), np.float32), np.zeros((3, 3)), np.array(["a"], object)):
        np.save(cache.path, foreign, allow_pickle=True)
        network = Network()
        _fill(tmp_path, network)
        assert network.asked == list(range(COUNT))
        for file in tmp_path.iterdir():
            file.unlink()


def test_the_journal_of_another_run_is_not_trusted(tmp_path):
    _fill(tmp_path, Network())
    cache = EmbeddingCache(tmp_path, FACTS, _protocol(), SIZE)
    journal = cache.path.with_suffix(".jsonl")
    heading, *lines = journal.read_text().splitlines()
    journal.write_text("\n".join([json.dumps({**json.loads(heading), "key": "0"}), *lines, ""]))
    network = Network()
    _fill(tmp_path, network)
    assert network.asked == list(range(COUNT))


def test_failures_of_the_machine_are_tried_again(tmp_path):
    failing = Network(reasons={3: "no_face: none", 8: "scoring_failed: out of memory"})
    _fill(tmp_path, failing)
    network = Network()
    rows, reasons = EmbeddingCache(tmp_path, FACTS, _protocol(), SIZE).fill(network)
    assert network.asked == [8]
    assert reasons == REASONS
    np.testing.assert_array_equal(rows, EXPECTED)


@pytest.mark.parametrize("fact", list(vars(FACTS)))
def test_every_fact_makes_another_file(tmp_path, fact):
    value = getattr(FACTS, fact)
    other = replace(FACTS, **{fact: value + 1 if isinstance(value, float) else f"{value}2"})
    paths = {EmbeddingCache(tmp_path, f, _protocol(), SIZE).path for f in (FACTS, other)}
    assert len(paths) == 2


def test_images_and_names_make_another_file(tmp_path):
    image = tmp_path / "a.png"
    image.write_bytes(b"1")

    def path(**changes):
        return EmbeddingCache(tmp_path, FACTS, _protocol(**changes), SIZE).path

    sources = [bytes([i]) for i in range(COUNT)]
    files = [*sources[:-1], str(image)]
    paths = [path(), path(aligned=False), path(samples=tuple("abcdefghij")), path(sources=files)]
    assert path(sources=files) == paths[-1]
    os.utime(image, ns=(1, 1))
    paths.append(path(sources=files))
    image.write_bytes(b"12")
    os.utime(image, ns=(1, 1))
    paths.append(path(sources=files))
    image.unlink()
    paths += [path(sources=files), path(sources=[*sources[:-1], b"x"])]
    paths.append(path(sources=[*sources[:-1], np.zeros((2, 2, 3), np.uint8)]))
    assert len(set(paths)) == len(paths)
    assert path(name="Other") == paths[0]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="a cache folder that can be written"):
        _fill(tmp_path / "file", Network())
