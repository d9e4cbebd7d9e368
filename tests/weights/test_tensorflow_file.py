import numpy as np
import pytest
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import WeightsError
from fiqa_fast.weights import tensorflow_file
from fiqa_fast.weights.file import read_weights

# The messages of a GraphDef as TensorFlow declares them: field, number, type, repeated.
_MESSAGES = {
    "Dim": [("size", 1, "int64", False), ("name", 2, "string", False)],
    "Shape": [("dim", 2, "Dim", True)],
    "Tensor": [
        ("dtype", 1, "int32", False),
        ("tensor_shape", 2, "Shape", False),
        ("tensor_content", 4, "bytes", False),
        ("float_val", 5, "float", True),
        ("double_val", 6, "double", True),
        ("int_val", 7, "int32", True),
    ],
    "Attribute": [
        ("f", 4, "float", False),
        ("type", 6, "int32", False),
        ("tensor", 8, "Tensor", False),
    ],
    "Entry": [("key", 1, "string", False), ("value", 2, "Attribute", False)],
    "Node": [
        ("name", 1, "string", False),
        ("op", 2, "string", False),
        ("input", 3, "string", True),
        ("attr", 5, "Entry", True),
    ],
    "Versions": [("producer", 1, "int32", False)],
    "Graph": [("node", 1, "Node", True), ("versions", 4, "Versions", False)],
}
FLOAT, DOUBLE, INT32 = 1, 2, 3


@pytest.fixture(scope="module")
def graph_type():
    """Google's own implementation of Protocol Buffers writes the graphs."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="graph.proto", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            added = message.field.add(name=field, number=number)
            added.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if kind in _MESSAGES:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".{kind}"
            else:
                added.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Graph"))


def _constant(graph, name, dtype, shape, **values):
    node = graph.node.add(name=name, op="Const")
    node.attr.add(key="dtype").value.type = dtype
    tensor = node.attr.add(key="value").value.tensor
    tensor.dtype = dtype
    for size in shape:
        tensor.tensor_shape.dim.add(size=size, name="axis")
    for field, value in values.items():
        if isinstance(value, bytes):
            setattr(tensor, field, value)
        else:
            getattr(tensor, field).extend(value)


def _graph(graph_type):
    graph = graph_type()
    graph.node.add(name="input", op="Placeholder")
    kernel = np.arange(24, dtype="<f4").reshape(1, 2, 3, 4)
    _constant(graph, "a/weights", FLOAT, (1, 2, 3, 4), tensor_content=kernel.tobytes())
    graph.node.add(name="a/weights/read", op="Identity", input=["a/weights"])
    doubles = np.array([1e-300, -2.0], "<f8")
    _constant(graph, "doubles", DOUBLE, (2,), tensor_content=doubles.tobytes())
    _constant(graph, "listed", FLOAT, (3,), float_val=[1.5, -2.5, 3.5])
    _constant(graph, "listed_doubles", DOUBLE, (2,), double_val=[0.1, 0.2])
    _constant(graph, "filled", FLOAT, (2, 200), float_val=[0.5])
    _constant(graph, "scalar", FLOAT, (), float_val=[7.0])
    _constant(graph, "a/shape", INT32, (2,), int_val=[-1, 576])
    node = graph.node.add(name="a/bn", op="FusedBatchNorm", input=["a/weights/read"])
    node.attr.add(key="epsilon").value.f = 2e-5
    graph.versions.producer = 1
    return graph.SerializeToString()


def test_reads_floating_constants_by_the_name_of_their_node(graph_type):
    content = _graph(graph_type)
    assert tensorflow_file.matches(content)
    tensors, metadata = tensorflow_file.read(content)
    expected = {
        "a/weights": torch.arange(24.0).reshape(1, 2, 3, 4),
        "doubles": torch.tensor([1e-300, -2.0], dtype=torch.float64),
        "listed": torch.tensor([1.5, -2.5, 3.5]),
        "listed_doubles": torch.tensor([0.1, 0.2], dtype=torch.float64),
        "filled": torch.full((2, 200), 0.5),
        "scalar": torch.tensor(7.0),
    }
    assert metadata == {}
    assert list(tensors) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0)


def test_wrong_number_of_values_is_refused(graph_type):
    graph = graph_type()
    _constant(graph, "short", FLOAT, (3,), float_val=[1.0, 2.0])
    with pytest.raises(WeightsError, match=r"got a constant of 2 values for the shape \[3\]"):
        tensorflow_file.read(graph.SerializeToString())


def test_every_cut_is_noticed(graph_type, tmp_path):
    content = _graph(graph_type)
    first_node = len(graph_type(node=[{"name": "input", "op": "Placeholder"}]).SerializeToString())
    graph = graph_type.FromString(content)
    ends = {0}
    for count in range(1, len(graph.node) + 1):
        ends.add(len(graph_type(node=graph.node[:count]).SerializeToString()))
    for size in range(first_node, len(content)):
        assert tensorflow_file.matches(content[:size])
        if size not in ends:
            with pytest.raises(WeightsError, match="expected a whole frozen graph"):
                tensorflow_file.read(content[:size])


def test_cut_off_files_name_the_path(tmp_path, golden_dir):
    path = tmp_path / "cut.pb"
    path.write_bytes((golden_dir / "lightqnet" / "lightqnet-dm025.pb").read_bytes()[:100_000])
    with pytest.raises(WeightsError, match=r"frozen graph of TensorFlow, got .*cut\.pb: a f"):
        read_weights(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x0a", b"\x0a\x00", b"\n\n<!DOCTYPE html>", b"\x0a\x03abc", b"\x0a\xff\xff", b"PK"],
)
def test_other_content_does_not_match(content):
    assert not tensorflow_file.matches(content)


@given(st.binary(max_size=200))
def test_arbitrary_content_is_never_an_accident(tail):
    tensorflow_file.matches(tail)
    tensorflow_file.matches(b"\x0a" + tail)
    try:
        tensors, _ = tensorflow_file.read(tail)
    except WeightsError:
        return
    assert all(isinstance(t, torch.Tensor) for t in tensors.values())


def test_real_graph(golden_dir):
    weights = read_weights(golden_dir / "lightqnet" / "lightqnet-dm100.pb")
    assert weights.format == "tensorflow"
    assert len(weights.tensors) == 34 * 5 + 2
    assert weights.tensors["UncertaintyModule/MobilenetV3/Conv/weights"].shape == (3, 3, 3, 16)
    variances = [t for n, t in weights.tensors.items() if n.endswith("moving_variance")]
    assert len(variances) == 34
    assert all((v > 0).all() for v in variances)
