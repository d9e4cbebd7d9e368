import hashlib
import io

import h5py
import onnx
import pytest
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper

from fiqa_fast.backbones.families import sface
from fiqa_fast.errors import WeightsError
from fiqa_fast.weights.file import read_weights
from fiqa_fast.weights.packaged import locate

TENSORS = {
    "a.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "b": torch.tensor([0.5, -2.0]),
}


def _torch_content(**options) -> bytes:
    buffer = io.BytesIO()
    torch.save(TENSORS, buffer, **options)
    return buffer.getvalue()


def _onnx_content() -> bytes:
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in TENSORS]
    values = [numpy_helper.from_array(t.numpy(), name) for name, t in TENSORS.items()]
    output = helper.make_tensor_value_info("b_out", TensorProto.FLOAT, [2])
    graph = helper.make_graph(nodes, "g", [], [output], values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]).SerializeToString()


def _keras_content() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [b"a", b"b"]
        for layer, name in (("a", "a.weight"), ("b", "b")):
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode()]
            group[name] = TENSORS[name].numpy()
    return buffer.getvalue()


CONTENTS = {
    "torch": _torch_content(),
    "torch (legacy)": _torch_content(_use_new_zipfile_serialization=False),
    "safetensors": safetensors.torch.save(TENSORS),
    "onnx": _onnx_content(),
    "keras": _keras_content(),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_every_format_gives_the_same_tensors(read_content, name):
    file = read_content(CONTENTS[name])
    assert file.format == name.split()[0]
    assert file.sha256 == hashlib.sha256(CONTENTS[name]).hexdigest()
    assert file.path.name == "weights.bin"
    assert dict(file.metadata) == {}
    assert (file.graph is None) == (file.format != "onnx")
    assert file.tensors.keys() == TENSORS.keys()
    for key, tensor in TENSORS.items():
        assert torch.equal(file.tensors[key], tensor)
        file.tensors[key].add_(1)  # tensors own their memory


@pytest.mark.parametrize("name", CONTENTS)
def test_no_cut_file_is_read(read_content, name):
    content = CONTENTS[name]
    lengths = {*range(20), *range(20, len(content), max(1, len(content) // 40))}
    lengths |= {len(content) - n for n in (1, 2, 3, 4, 8)}
    for length in lengths:
        with pytest.raises(WeightsError, match=r"weights: expected .*, got .*weights\.bin.*; "):
            read_content(content[:length])


@pytest.mark.parametrize("name", CONTENTS)
def test_a_damaged_file_gives_an_error_or_its_tensors(read_content, name):
    content = bytearray(CONTENTS[name])
    for position in range(0, len(content), max(1, len(content) // 60)):
        damaged = bytes(
            content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]
        )
        try:
            tensors = read_content(damaged).tensors
        except WeightsError:
            continue
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "which is empty"),
        (b"<!DOCTYPE html><html>Not found</html>", "which is a web page"),
        (b"\n  <html>sign in</html>", "which is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
        (b"this is no weights file", r"none of them \(23 bytes\)"),
    ],
)
def test_what_is_no_weights_file(read_content, content, said):
    with pytest.raises(WeightsError, match=rf"expected a file of the formats .*{said}.*again"):
        read_content(content)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(WeightsError, match=r"gone\.pth \(No such file or directory\); check"):
        read_weights(tmp_path / "gone.pth")
    with pytest.raises(WeightsError, match="Is a directory"):
        read_weights(tmp_path)


@pytest.mark.parametrize("first_byte", [0x08, 0x0A, 0x80, 0x89])
def test_a_safetensors_length_that_looks_like_another_format(read_content, first_byte):
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(0x100 + first_byte)
    content = len(header).to_bytes(8, "little") + header + bytes(4)
    assert content[0] == first_byte
    assert read_content(content).format == "safetensors"


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.empty(2, device="meta"), "a with no data"),
        (torch.eye(3).to_sparse(), "a with torch.sparse_coo"),
    ],
)
def test_tensors_that_are_no_plain_numbers(read_content, tensor, said):
    buffer = io.BytesIO()
    torch.save({"a": tensor}, buffer)
    with pytest.raises(WeightsError, match=rf"got .*weights\.bin: {said}.*; save the network's"):
        read_content(buffer.getvalue())


def test_packaged_weights_are_read_with_their_path():
    file = read_weights(sface.DEFAULT_WEIGHTS)
    assert file.path == locate(sface.DEFAULT_WEIGHTS)
    assert file.sha256 == sface.DEFAULT_WEIGHTS.sha256
    assert file.format == "onnx"
    assert len(onnx.load(file.path).graph.initializer) > 0
