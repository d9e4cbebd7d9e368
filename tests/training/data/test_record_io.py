import struct

import numpy as np
import pytest

from fiqa_fast.errors import ImageError, InvalidArgumentError
from fiqa_fast.training.data.record_io import open_record_io
from fiqa_fast.types import FailureReason


@pytest.fixture
def make(tmp_path, write_rec, jpeg):
    """Writes a set of six images of three identities; gives folder and offsets."""

    def write(labels=(0, 0, 1, 2, 2, 2), **options):
        folder = tmp_path / "ms1m"
        entries = [(label, jpeg(i)) for i, label in enumerate(labels)]
        return folder, write_rec(folder, entries, **options)

    return write


@pytest.fixture
def opened(tmp_path):
    def open_it(path, **options):
        return open_record_io(path, index_folder=tmp_path / "indices", **options)

    return open_it


def test_images_and_labels_are_read(make, opened, jpeg):
    folder, _ = make()
    found = opened(folder)
    assert (found.name, found.count, found.skipped) == ("ms1m", 6, ())
    assert list(found.samples) == ["1", "2", "3", "4", "5", "6"]
    assert list(found.samples[1:3]) == ["2", "3"]
    assert found.identity.tolist() == [0, 0, 1, 2, 2, 2]
    assert found.identity.dtype == np.int32
    assert found.identity_names == ("0", "1", "2")
    assert [found.read(i) for i in range(6)] == [jpeg(i) for i in range(6)]


def test_a_file_is_the_same_as_its_folder(make, opened):
    folder, _ = make()
    assert list(opened(folder / "train.rec").samples) == list(opened(folder).samples)


def test_labels_behind_the_header(make, opened, jpeg):
    folder, _ = make(labels=([3.0, 0.5], [3.0, 0.25], [8.0, 1.0]))
    found = opened(folder)
    assert found.identity.tolist() == [0, 0, 1]
    assert found.identity_names == ("3", "8")
    assert found.read(2) == jpeg(2)


def test_content_with_the_magic_number_in_it(tmp_path, write_rec, opened):
    images = [b"\x0a\x23\xd7\xce" * 3 + b"image", b"1234\x0a\x23\xd7\xce", b"plain"]
    write_rec(tmp_path, [(0, image) for image in images])
    found = opened(tmp_path)
    assert [found.read(i) for i in range(3)] == images


@pytest.mark.parametrize("header", [True, False])
def test_a_missing_index_file_is_made_up_for(make, opened, header):
    folder, _ = make(header=header)
    with_index = opened(folder)
    (folder / "train.idx").unlink()
    without = opened(folder)
    assert list(without.samples) == list(with_index.samples)
    assert np.array_equal(without.identity, with_index.identity)
    assert [without.read(i) for i in range(6)] == [with_index.read(i) for i in range(6)]


def test_records_without_own_numbers_take_their_places(tmp_path, frame, pack, jpeg, opened):
    content = b"".join(frame(pack(i // 2, 0, jpeg(i))) for i in range(4))
    (tmp_path / "train.rec").write_bytes(content)
    found = opened(tmp_path)
    assert list(found.samples) == ["0", "1", "2", "3"]
    assert found.read(3) == jpeg(3)


def test_the_property_file_tells_the_number_of_identities(make, opened):
    folder, _ = make(labels=(0, 0, 3))
    (folder / "property").write_text("5,112,112\n")
    found = opened(folder)
    assert found.identity.tolist() == [0, 0, 3]
    assert found.identity_names == ("0", "1", "2", "3", "4")
    (folder / "property").write_text("3,112,112")
    with pytest.raises(InvalidArgumentError, match=r"below the 3 identities of .*, got 3"):
        opened(folder)
    (folder / "property").write_text("many")
    with pytest.raises(InvalidArgumentError, match="'identities,height,width'"):
        opened(folder)


def damage_magic(content, offset):
    content[offset] ^= 0xFF


def damage_label(content, offset):
    content[offset + 12 : offset + 16] = struct.pack("<f", float("nan"))


def damage_length(content, offset):
    content[offset + 5] ^= 0x40


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_magic, "it does not start with the magic number"),
        (damage_label, "its label is no identity"),
        (damage_length, "it (reaches into the next record|ends beyond the end of the file)"),
    ],
)
def test_damaged_records_are_named_or_skipped(make, opened, jpeg, damage, said, with_index):
    folder, offsets = make()
    content = bytearray((folder / "train.rec").read_bytes())
    damage(content, offsets[3])
    (folder / "train.rec").write_bytes(content)
    if not with_index:
        (folder / "train.idx").unlink()
    with pytest.raises(InvalidArgumentError, match=f"record(?: 3)? at offset {offsets[3]} .{said}"):
        opened(folder)
    found = opened(folder, damaged="skip")
    assert list(found.samples) == ["1", "2", "4", "5", "6"]
    assert found.identity_names == ("0", "2")
    assert [found.read(i) for i in (1, 2)] == [jpeg(1), jpeg(3)]
    assert [s.reason for s in found.skipped] == [FailureReason.CORRUPT_IMAGE]
    assert found.skipped[0].sample in ("3", f"at offset {offsets[3]}")
    assert str(offsets[3]) in found.skipped[0].message


def test_a_truncated_file_names_what_is_gone(make, opened):
    folder, offsets = make()
    content = (folder / "train.rec").read_bytes()
    (folder / "train.rec").write_bytes(content[: offsets[5] + 40])
    with pytest.raises(InvalidArgumentError, match=r"got 6 damaged: record 0 .*record 5 at"):
        opened(folder)
    assert list(opened(folder, damaged="skip").samples) == ["1", "2", "3", "4"]


def test_an_image_record_without_image(tmp_path, write_rec, jpeg, opened):
    write_rec(tmp_path, [(0, jpeg(0)), (0, b""), (1, jpeg(1))])
    with pytest.raises(InvalidArgumentError, match=r"record 2 at .*it has no image"):
        opened(tmp_path)


def test_an_index_file_that_is_not_whole(make, opened):
    folder, _ = make()
    lines = (folder / "train.idx").read_text().splitlines(keepends=True)
    (folder / "train.idx").write_text("".join(line for line in lines if line[0] != "4"))
    with pytest.raises(InvalidArgumentError, match=r"the 6 images that record 0 promises .*got 5"):
        opened(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "got 0 lines"),
        ("1\t2\t3\n", "got 1 lines of 3 numbers"),
        ("one\ttwo\n", "another form"),
        ("1\t0\n1\t8\n", "got 1 twice or negative"),
        ("-1\t0\n2\t8\n", "got -1 twice or negative"),
    ],
)
def test_index_files_of_another_form(make, opened, text, said):
    folder, _ = make()
    (folder / "train.idx").write_text(text)
    with pytest.raises(InvalidArgumentError, match=said):
        opened(folder)


def test_no_file_and_an_empty_file(tmp_path, opened):
    with pytest.raises(InvalidArgumentError, match="a readable RecordIO file"):
        opened(tmp_path)
    (tmp_path / "train.rec").touch()
    with pytest.raises(InvalidArgumentError, match="an empty file"):
        opened(tmp_path)


def test_a_file_that_becomes_damaged_while_it_is_open(make, opened):
    folder, offsets = make()
    found = opened(folder)
    with (folder / "train.rec").open("r+b") as file:
        file.seek(offsets[2])
        file.write(b"\0\0\0\0")
        file.truncate(offsets[5])
    with pytest.raises(ImageError, match=r"the record at offset .* is damaged since"):
        found.read(1)
    with pytest.raises(ImageError, match="became shorter since"):
        found.read(4)


def test_the_headers_are_read_once(make, opened, monkeypatch):
    folder, _ = make()
    first = opened(folder)
    monkeypatch.setattr("fiqa_fast.training.data.record_io._build", None)
    again = opened(folder)
    assert list(again.samples) == list(first.samples)
    (folder / "train.rec").write_bytes((folder / "train.rec").read_bytes() + bytes(4))
    with pytest.raises(TypeError):  # the file changed: it is read anew
        opened(folder)
