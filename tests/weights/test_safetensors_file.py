import json

import pytest
import safetensors
import torch

from fiqa_fast.errors import WeightsError
from fiqa_fast.weights import safetensors_file
from fiqa_fast.weights.file import read_weights

TENSORS = {
    "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "brain": torch.tensor([[1.0, 3.0]], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "double": torch.tensor([1 / 3], dtype=torch.float64),
}


def test_round_trip_with_metadata(tmp_path):
    path = tmp_path / "a.safetensors"
    metadata = {"fiqa_fast.network": "sface", "other": 'Grüße\n"quoted"'}
    safetensors_file.write(path, TENSORS, metadata)
    file = read_weights(path)
    assert dict(file.metadata) == metadata
    assert file.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert file.tensors[name].dtype == tensor.dtype
        assert torch.equal(file.tensors[name], tensor)


def test_other_readers_understand_what_is_written(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors_file.write(path, TENSORS, {"k": "v"})
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata() == {"k": "v"}
        assert torch.equal(file.get_tensor("brain"), TENSORS["brain"])


def test_the_same_content_gives_the_same_bytes(tmp_path):
    metadata = {f"key {i}": str(i) for i in range(20)}
    contents = set()
    for order in (1, -1):
        path = tmp_path / f"{order}.safetensors"
        safetensors_file.write(path, TENSORS, dict(list(metadata.items())[::order]))
        contents.add(path.read_bytes())
    (content,) = contents
    header_size = int.from_bytes(content[:8], "little")
    assert header_size % 8 == 0
    assert list(json.loads(content[8 : 8 + header_size])["__metadata__"]) == sorted(metadata)


def test_shared_and_strided_tensors_are_written_out(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {
        "a": base,
        "b": base,
        "row": base[1],
        "turned": base.T,
        "wide": torch.ones(1).expand(4),
    }
    path = tmp_path / "a.safetensors"
    safetensors_file.write(path, tensors, {})
    assert all(torch.equal(read_weights(path).tensors[n], t) for n, t in tensors.items())


def test_writing_replaces_a_file_at_once_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors_file.write(path, {"a": torch.ones(1)}, {})
    safetensors_file.write(path, {"b": torch.ones(1)}, {})
    assert read_weights(path).tensors.keys() == {"b"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(WeightsError, match=r"none/a\.safetensors \(No such file"):
        safetensors_file.write(tmp_path / "none" / "a.safetensors", TENSORS, {})
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(WeightsError, match=r"folder\.safetensors \(Is a directory"):
        safetensors_file.write(tmp_path / "folder.safetensors", TENSORS, {})
    assert [p.name for p in tmp_path.iterdir()] == ["folder.safetensors"]


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        "no entry",
    ],
)
def test_headers_that_lie(read_content, entry):
    header = json.dumps({"a": entry}).encode()
    with pytest.raises(WeightsError, match=r"expected a whole safetensors file.*weights\.bin"):
        read_content(len(header).to_bytes(8, "little") + header + bytes(4))
