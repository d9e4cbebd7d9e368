import json
import tarfile

import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.data.web_dataset import expand_shards, open_web_dataset


@pytest.fixture
def opened(tmp_path):
    def open_it(shards, **options):
        return open_web_dataset(shards, index_folder=tmp_path / "indices", **options)

    return open_it


@pytest.fixture
def shards(tmp_path, write_tar, jpeg):
    """Two shards of two images each; gives their pattern."""
    for shard in range(2):
        members = []
        for i in range(2):
            members += [(f"{i:03d}.jpg", jpeg(2 * shard + i)), (f"{i:03d}.cls", b"%d\n" % (9 + i))]
        write_tar(tmp_path / f"faces-{shard:02d}.tar", members)
    return str(tmp_path / "faces-{00..01}.tar")


def test_images_and_labels_are_read(shards, opened, jpeg):
    found = opened(shards)
    assert (found.name, found.count) == ("faces-00", 4)
    assert found.samples == ("faces-00/000", "faces-00/001", "faces-01/000", "faces-01/001")
    assert found.identity.tolist() == [0, 1, 0, 1]
    assert found.identity_names == ("9", "10")
    assert [found.read(i) for i in (3, 0, 2)] == [jpeg(3), jpeg(0), jpeg(2)]


def test_labels_in_json_and_other_files(tmp_path, write_tar, opened, jpeg):
    members = [("notes.txt", b"about"), ("deep/a.b.jpg", b"is of another ending")]
    for key, label in (("x/1", "bert"), ("x/2", "anna"), ("x/3", "anna")):
        content = json.dumps({"person": label, "age": 4}).encode()
        members += [(f"{key}.json", content), (f"{key}.PNG", key.encode()), (f"{key}.txt", b"-")]
    write_tar(tmp_path / "s.tar", members)
    found = opened(tmp_path / "s.tar", label_field="person")
    assert found.samples == ("s/x/1", "s/x/2", "s/x/3")
    assert found.identity_names == ("anna", "bert")
    assert found.identity.tolist() == [1, 0, 0]
    assert found.read(1) == b"x/2"
    with pytest.raises(InvalidArgumentError, match="integer or text in the field 'age2'"):
        opened(tmp_path / "s.tar", label_field="age2")
    assert opened(tmp_path / "s.tar", label_field="age").identity_names == ("4",)


def test_long_names_of_files(tmp_path, write_tar, opened):
    key = "ordner/" * 40 + "ä"
    write_tar(tmp_path / "s.tar", [(f"{key}.jpg", b"image"), (f"{key}.cls", b"0")])
    found = opened(tmp_path / "s.tar")
    assert found.samples == (f"s/{key}",)
    assert found.read(0) == b"image"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("1.jpg", b"x")], "got 1 images and no label for 1"),
        ([("1.cls", b"0")], "got 0 images and 1 .cls for 1"),
        ([("1.jpg", b"x"), ("1.png", b"x"), ("1.cls", b"0")], "got 2 images and 1 .cls for 1"),
        ([("1.jpg", b"x"), ("1.cls", b"0"), ("1.cls", b"0")], "got 1 images and 2 .cls for 1"),
        ([("1.jpg", b"x"), ("1.cls", b"anna")], "an integer in 1.cls of .*, got b'anna'"),
        ([("1.jpg", b"x"), ("1.json", b"[1]")], "in the field 'label' in 1.json"),
        ([("1.jpg", b"x"), ("1.json", b'{"label": 1.5}')], "ValueError: 1.5"),
        ([("1.jpg", b"x"), ("1.json", b'{"label"')], "JSONDecodeError"),
    ],
)
def test_samples_that_are_none(tmp_path, write_tar, opened, members, said):
    write_tar(tmp_path / "s.tar", members)
    with pytest.raises(InvalidArgumentError, match=said):
        opened(tmp_path / "s.tar")


@pytest.mark.parametrize("at", [512, 1024, 1100, 2048])
def test_a_shard_that_is_cut_off(tmp_path, write_tar, opened, at):
    write_tar(tmp_path / "s.tar", [("1.jpg", b"x" * 600), ("1.cls", b"0")])
    content = (tmp_path / "s.tar").read_bytes()
    (tmp_path / "s.tar").write_bytes(content[:at])
    with pytest.raises(InvalidArgumentError, match="a whole, uncompressed tar file"):
        opened(tmp_path / "s.tar")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path, write_tar, opened):
    members = [(f"{i}.{ending}", b"0") for i in range(3) for ending in ("jpg", "cls")]
    write_tar(tmp_path / "s.tar", members)
    content = bytearray((tmp_path / "s.tar").read_bytes())
    content[4 * 512 + 10] ^= 0xFF  # in the header of 1.jpg
    (tmp_path / "s.tar").write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=r"no header and no end .* at offset 2048"):
        opened(tmp_path / "s.tar")


def test_a_compressed_shard(tmp_path, opened):
    with tarfile.open(tmp_path / "s.tar", "w:gz"):
        pass
    with pytest.raises(InvalidArgumentError, match="uncompressed tar file"):
        opened(tmp_path / "s.tar")


def test_the_headers_are_read_once(shards, opened, monkeypatch, tmp_path, write_tar):
    first = opened(shards)
    monkeypatch.setattr("fiqa_fast.training.data.web_dataset._build", None)
    assert opened(shards).samples == first.samples
    write_tar(tmp_path / "faces-01.tar", [("a.jpg", b"x"), ("a.cls", b"0")])
    with pytest.raises(TypeError):  # a shard changed: they are read anew
        opened(shards)


def test_patterns_and_lists(tmp_path, write_tar):
    for name in ("a-8", "a-9", "a-10", "b"):
        write_tar(tmp_path / f"{name}.tar", [])

    def names(shards):
        return [path.stem for path in expand_shards(shards)]

    assert names(f"{tmp_path}/a-{{8..10}}.tar") == ["a-8", "a-9", "a-10"]
    assert names([tmp_path / "b.tar", f"{tmp_path}/a-{{8..9}}.tar"]) == ["b", "a-8", "a-9"]
    assert names(f"{tmp_path}/*.tar") == ["a-10", "a-8", "a-9", "b"]
    with pytest.raises(InvalidArgumentError, match=r"got .*a-11\.tar"):
        names(f"{tmp_path}/a-{{8..11}}.tar")
    with pytest.raises(InvalidArgumentError, match="got none for"):
        names(f"{tmp_path}/c*.tar")
