import os
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.bin_file import read_bin
from fiqa_fast.evaluation.protocols.bin_pickle import read_plain_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Code:
    """Runs a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "set.bin"
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 2))
        return path

    return write


@pytest.fixture(scope="module")
def four(encoded):
    return [encoded(i) for i in range(4)]


def _written_by_python_2(images, labels):
    """What cPickle of Python 2 writes with protocol 2: text is SHORT_BINSTRING or BINSTRING."""
    text = [
        b"U" + bytes([len(i)]) + i if len(i) < 256 else b"T" + struct.pack("<i", len(i)) + i
        for i in images
    ]
    flags = b"".join(b"\x88" if label else b"\x89" for label in labels)
    return b"\x80\x02]q\x01(" + b"".join(text) + b"e]q\x02(" + flags + b"e\x86q\x03."


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_file_of_any_protocol(write, four, protocol):
    found = read_bin(write(pickle.dumps((four, [True, False]), protocol)))
    assert found.sources == tuple(four)
    assert found.samples == ("set/00000", "set/00001", "set/00002", "set/00003")
    assert found.mated.tolist() == [True, False]
    assert (found.sample_a.tolist(), found.sample_b.tolist()) == ([0, 2], [1, 3])
    assert found.aligned
    assert found.name == "set"


def test_a_file_of_python_2(write, four):
    found = read_bin(write(_written_by_python_2(four, [False, True])), name="LFW")
    assert found.sources == tuple(four)
    assert found.mated.tolist() == [False, True]
    assert found.name == "LFW"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_images_and_labels_as_arrays(write, four, protocol):
    arrays = [np.frombuffer(image, np.uint8).copy() for image in four]
    for labels in (np.array([True, False]), [np.bool_(True), np.bool_(False)]):
        found = read_bin(write(pickle.dumps((arrays, labels), protocol)))
        assert found.sources == tuple(four)
        assert found.mated.tolist() == [True, False]


def test_arrays_as_numpy_1_wrote_them(write, four):
    arrays = [np.frombuffer(image, np.uint8).copy() for image in four]
    content = pickle.dumps((arrays, [True, False]), 2).replace(b"numpy._core", b"numpy.core")
    assert read_bin(write(content)).sources == tuple(four)


def test_arrays_as_python_2_wrote_them():
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b"
        b"\x87Rq\x03(K\x01K\x03\x85cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ"
        b"\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x03abctb."
    )
    array = read_plain_pickle(content)
    assert (array.kind, array.shape, array.content) == ("u1", (3,), b"abc")


def test_the_same_image_is_one_sample(write, four):
    images = [four[0], four[1], four[2], four[0]]
    found = read_bin(write((images, [True, False])))
    assert found.samples == ("set/00000", "set/00001", "set/00002")
    assert (found.sample_a.tolist(), found.sample_b.tolist()) == ([0, 2], [1, 0])


@given(labels=st.lists(st.booleans(), min_size=1, max_size=40))
def test_pairs_keep_their_order(tmp_path_factory, encoded, labels):
    images = [encoded(i) for i in range(2 * len(labels))]
    path = tmp_path_factory.mktemp("bin") / "set.bin"
    path.write_bytes(pickle.dumps((images, labels)))
    found = read_bin(path)
    assert found.mated.tolist() == labels
    assert [found.sources[i] for i in found.sample_a] == images[0::2]
    assert [found.sources[i] for i in found.sample_b] == images[1::2]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("function", "named"),
    [
        (os.system, f"{os.name}.system"),
        (eval, r"(builtins|__builtin__)\.eval"),
        (exec, r"(builtins|__builtin__)\.exec"),
        (subprocess.getoutput, r"(subprocess|commands)\.getoutput"),
    ],
)
def test_code_is_named_and_never_runs(write, four, tmp_path, protocol, function, named):
    marker = tmp_path / "marker"
    touch = f"touch {marker}"
    argument = (
        touch if function in (os.system, subprocess.getoutput) else f"open({str(marker)!r}, 'w')"
    )
    code = Code(function, argument)
    for content in (code, (four, [True, code]), ([code, *four], [True]), {"a": [code]}):
        path = write(pickle.dumps(content, protocol))
        with pytest.raises(InvalidArgumentError, match=f"needs the code of {named}; nothing was"):
            read_bin(path)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_code_inside_of_code_never_runs(write, tmp_path, protocol):
    marker = tmp_path / "marker"
    nested = Code(getattr, Code(__import__, "os"), "system")
    path = write(pickle.dumps(Code(map, nested, [f"touch {marker}"]), protocol))
    with pytest.raises(
        InvalidArgumentError, match=r"needs the code of (builtins|__builtin__|itertools)\."
    ):
        read_bin(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"(S'touch MARKER'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch MARKER'\no.",  # OBJ
        b"\x80\x02cos\nsystem\nX\x0c\x00\x00\x00touch MARKER\x85\x81.",  # NEWOBJ
        # The names on the stack come out of the memo, so that reading ahead does not see them.
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x9400h\x00h\x01\x93\x8c\x0ctouch MARKER\x85R.",
        b"\x80\x04(\x8c\x02os\x8c\x06systeml\x930.",
        b"\x80\x02cos.path\nos.system\nX\x0c\x00\x00\x00touch MARKER\x85R.",
    ],
)
def test_code_by_rare_instructions_never_runs(write, tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgumentError):
        read_bin(write(content))
    assert not (tmp_path / "MARKER").exists()


def test_names_from_the_memo_meet_the_second_guard():
    # Read ahead, the last two texts are those of numpy.dtype; what is asked for is os.system.
    content = b"\x80\x04\x8c\x02os\x8c\x06system\x8c\x05numpy\x8c\x05dtype00\x93."
    with pytest.raises(InvalidArgumentError, match=r"the code of os\.system"):
        read_plain_pickle(content)


def test_what_stands_for_numpy_cannot_be_changed():
    # BUILD sets attributes on what is there: here on the stand-in of numpy.dtype.
    for state in (b"}X\x05\x00\x00\x00namesX\x01\x00\x00\x00as", b"(N}X\x05\x00\x00\x00names)st"):
        with pytest.raises(InvalidArgumentError):
            read_plain_pickle(b"\x80\x02cnumpy\ndtype\n" + state + b"b.")
    with pytest.raises(InvalidArgumentError):
        read_plain_pickle(b"\x80\x02cnumpy\ndtype\nX\x01\x00\x00\x00ab.")
    assert read_plain_pickle(pickle.dumps(np.ones(2, np.bool_))).content == b"\1\1"


def test_reading_imports_nothing_that_a_file_names(write):
    with pytest.raises(InvalidArgumentError, match=r"antigravity\.fly"):
        read_bin(write(b"\x80\x02cantigravity\nfly\n)R."))
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_objects_and_of_numbers_are_refused(write, four, protocol):
    for array in (np.array(four, object), np.ones(4), np.array(["a"])):
        with pytest.raises(InvalidArgumentError, match=r"expected"):
            read_bin(write(pickle.dumps((array, [True, False]), protocol)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        b"\x80\x02",
        b"\x80\x02]B\xff\xff\xff\x7f.",  # 2 GB of bytes
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",  # 2^63
        b"\x80\x02Nr\xff\xff\xff\xff.",  # the memo's entry 2^32 - 1
        b"Np4000000000\n.",
        b"\x80\x02}.",
        b"\x80\x04\x8f.",
        b"\x80\x02" + b"(" * 1000 + b".",
        b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
        b"\x80\x02cnumpy\nndarray\nM\xff\xff\x85R.",
        b"I" + b"9" * 5000 + b"\n.",
    ],
)
def test_damaged_files_and_huge_claims(write, content):
    with pytest.raises(InvalidArgumentError, match=r"set\.bin: expected"):
        read_bin(write(content))


def test_an_array_that_claims_more_than_it_has(write):
    content = pickle.dumps(np.zeros(3, np.uint8), 2)
    assert content.count(b"K\x03\x85") == 1
    claims = content.replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85")
    with pytest.raises(InvalidArgumentError, match=r"shape \[2147483647\].*got 3 bytes"):
        read_bin(write(claims))


def test_a_file_that_was_cut_off_anywhere(write, four):
    content = pickle.dumps((four, [True, False]), 2)
    for length in range(0, len(content), 7):
        with pytest.raises(InvalidArgumentError, match=r"set\.bin: expected"):
            read_bin(write(content[:length]))


@given(data=st.data())
def test_damaged_bytes_never_raise_another_error(tmp_path_factory, encoded, data):
    content = bytearray(
        pickle.dumps(([encoded(0), np.frombuffer(encoded(1), np.uint8)], [True]), 2)
    )
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("bin") / "set.bin"
    path.write_bytes(bytes(content))
    try:
        found = read_bin(path)
    except InvalidArgumentError:
        return
    assert len(found.samples) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda i: (i, [True]), "got 4 images and 1 labels"),
        (lambda i: (i[:3], [True, False]), "got 3 images and 2 labels"),
        (lambda i: (i, [1, 0]), "labels that are True or False, got int 1"),
        (lambda i: (i, ["yes", "no"]), "labels that are True or False, got str"),
        (lambda i: (i, 2), "labels that are True or False, got int 2"),
        (lambda i: (i, [True, False], 1), r"\(images, labels\), got a tuple of 3"),
        (lambda i: "text", r"\(images, labels\), got a str"),
        (lambda i: (b"abcd", [True, False]), "a list of images, got bytes"),
        (lambda i: ([*i[:3], 7], [True, False]), "got int 7 at position 3"),
        (
            lambda i: ([*i[:3], np.ones((8, 8, 3), np.uint8)], [True, False]),
            r"array u1 \[8, 8, 3\]",
        ),
        (lambda i: ([*i[:3], b"no image"], [True, False]), "image 3: expected a JPEG"),
        (lambda i: ([*i[:3], b""], [True, False]), "image 3: expected an encoded image"),
        (lambda i: ([], []), "one comparison or more"),
        (lambda i: ([i[0], i[0]], [True]), "1 of a sample with itself: set/00000"),
        (lambda i: ([i[0], i[1], i[1], i[0]], [True, False]), "1 that are both: set/00000 with"),
    ],
)
def test_other_structures(write, four, change, said):
    with pytest.raises(InvalidArgumentError, match=said):
        read_bin(write(change(four)))


def test_a_missing_file(tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"expected a readable \.bin file"):
        read_bin(tmp_path / "none.bin")
