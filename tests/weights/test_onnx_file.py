import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from fiqa_fast.errors import WeightsError

FLOATS = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


def _model(nodes, values, opset=21) -> onnx.ModelProto:
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [], [output], values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def _value(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


@pytest.mark.parametrize(
    ("scales", "zero_points", "attributes"),
    [
        (np.float32(0.1), np.uint8(3), {}),
        (np.float32(0.1), None, {}),
        (np.array([0.1, 0.2, 0.3, 0.4], np.float32), np.array([1, 2, 3, 4], np.uint8), {"axis": 0}),
        (np.linspace(0.1, 0.6, 6, dtype=np.float32), np.arange(6, dtype=np.uint8), {}),
        (np.linspace(0.1, 0.6, 6, dtype=np.float32), np.arange(6, dtype=np.uint8), {"axis": -1}),
        (
            np.linspace(0.1, 0.8, 8, dtype=np.float32).reshape(4, 2),
            np.arange(8, dtype=np.uint8).reshape(4, 2),
            {"axis": 1, "block_size": 3},
        ),
        (
            np.linspace(0.1, 1.2, 12, dtype=np.float32).reshape(2, 6),
            np.arange(12, dtype=np.uint8).reshape(2, 6),
            {"axis": 0, "block_size": 2},
        ),
    ],
)
def test_quantised_weights_equal_the_reference(read_content, scales, zero_points, attributes):
    quantised = np.random.default_rng(1).integers(0, 255, (4, 6)).astype(np.uint8)
    values = [_value("q", quantised), _value("s", scales)]
    if zero_points is not None:
        values.append(_value("z", zero_points))
    names = [value.name for value in values]
    model = _model([helper.make_node("DequantizeLinear", names, ["w"], **attributes)], values)
    (expected,) = ReferenceEvaluator(model).run(None, {})
    found = read_content(model.SerializeToString()).tensors
    assert "q" not in found
    np.testing.assert_allclose(found["w"], expected, rtol=1e-6, atol=1e-6)


def test_four_bit_weights(read_content):
    weights = helper.make_tensor("q", TensorProto.INT4, [3], [-8, 0, 7])
    model = _model(
        [helper.make_node("DequantizeLinear", ["q", "s"], ["w"])],
        [weights, _value("s", np.float32(0.5))],
    )
    assert read_content(model.SerializeToString()).tensors["w"].tolist() == [-4.0, 0.0, 3.5]


@pytest.mark.parametrize("shape", [[2, 12], [3, -1], [0, 3, 2]])
def test_reshaped_weights_stand_under_the_new_name(read_content, shape):
    model = _model(
        [helper.make_node("Reshape", ["w", "shape"], ["w_reshaped"])],
        [_value("w", FLOATS), _value("shape", np.array(shape, np.int64))],
    )
    (expected,) = ReferenceEvaluator(model).run(None, {})
    tensors = read_content(model.SerializeToString()).tensors
    np.testing.assert_array_equal(tensors["w_reshaped"], expected)
    np.testing.assert_array_equal(tensors["w"], FLOATS)
    assert "shape" not in tensors


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (TensorProto.FLOAT16, torch.float16),
        (TensorProto.BFLOAT16, torch.bfloat16),
        (TensorProto.DOUBLE, torch.float64),
    ],
)
def test_dtypes_are_those_of_the_file(read_content, kind, dtype):
    value = helper.make_tensor("w", kind, [3], [0.5, -1.0, 2.0])
    model = _model([helper.make_node("Identity", ["w"], ["y"])], [value])
    expected = torch.tensor([0.5, -1.0, 2.0], dtype=dtype)
    found = read_content(model.SerializeToString()).tensors["w"]
    assert found.dtype == dtype
    assert torch.equal(found, expected)


def test_a_tensor_that_is_shorter_than_its_shape(read_content):
    value = _value("w", FLOATS)
    value.raw_data = value.raw_data[:-4]
    model = _model([helper.make_node("Identity", ["w"], ["y"])], [value])
    with pytest.raises(WeightsError, match=r"expected a whole onnx file.*weights\.bin.*again"):
        read_content(model.SerializeToString())


def test_weights_in_another_file_are_not_followed(read_content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.data").write_bytes(FLOATS.tobytes())
    value = _value("w", FLOATS)
    value.ClearField("raw_data")
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="w.data")
    model = _model([helper.make_node("Identity", ["w"], ["y"])], [value])
    with pytest.raises(WeightsError, match=r"weights\.bin: w in another one; .*onnx\.save"):
        read_content(model.SerializeToString())


def test_a_constant_in_another_file_is_refused(read_content, tmp_path, monkeypatch):
    (tmp_path / "w.data").write_bytes(FLOATS.tobytes())
    monkeypatch.chdir(tmp_path)
    value = _value("w", FLOATS)
    value.ClearField("raw_data")
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="w.data")
    constant = helper.make_node("Constant", [], ["w"], value=value)
    model = _model([constant, helper.make_node("Identity", ["w"], ["y"])], [])
    with pytest.raises(WeightsError, match="in another one"):
        read_content(model.SerializeToString())


@pytest.mark.parametrize("left_out", ["graph", "opset_import"])
def test_a_model_that_parses_but_is_not_whole(read_content, left_out):
    model = _model([helper.make_node("Identity", ["w"], ["y"])], [_value("w", FLOATS)])
    model.ClearField(left_out)
    model.producer_name = "test"
    with pytest.raises(WeightsError, match="with a graph and its operator sets"):
        read_content(model.SerializeToString())


def test_the_graph_shows_what_is_computed(read_content):
    nodes = [
        helper.make_node("Constant", [], ["c"], value=_value("", np.float32(0.5))),
        helper.make_node("Identity", ["w"], ["same"]),
        helper.make_node("Unsqueeze", ["same"], ["deep"], axes=[0, 3]),
        helper.make_node("Transpose", ["w"], ["turned"]),
        helper.make_node("Transpose", ["deep"], ["swapped"], perm=[1, 0, 2, 3]),
        helper.make_node("Mul", ["x", "c"], ["half"]),
        helper.make_node("MatMul", ["half", "turned"], ["y"], name="last"),
        helper.make_node("Clip", ["y", "", "c"], ["z"]),
        helper.make_node("Cast", ["w"], ["other"], to=TensorProto.DOUBLE),
    ]
    model = _model(nodes, [_value("w", FLOATS), _value("shape", np.array([1, -1]))], opset=11)
    for name in ("x", "w"):  # old exporters list the initialisers too
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    file = read_content(model.SerializeToString())
    graph = file.graph
    assert (graph.inputs, graph.outputs) == (("x",), ("other",))
    assert [node.op for node in graph.nodes] == ["Mul", "MatMul", "Clip", "Cast"]
    assert graph.nodes[1].name == "last"
    assert graph.nodes[1].inputs == ("half", "turned")
    assert graph.nodes[2].inputs == ("y", "", "c")
    assert graph.nodes[3].attributes == {"to": TensorProto.DOUBLE}
    assert graph.constants["shape"].tolist() == [1, -1]
    assert graph.constants["c"] == 0.5
    expected = {"w": FLOATS, "same": FLOATS, "turned": FLOATS.T, "deep": FLOATS[None, :, :, None]}
    expected["swapped"] = FLOATS[:, None, :, None]
    assert graph.constants.keys() == expected.keys() | {"c", "shape"}
    for name, array in expected.items():
        np.testing.assert_array_equal(graph.constants[name], array)
    assert file.tensors.keys() == {"w"}


def test_axes_as_an_input(read_content):
    model = _model(
        [helper.make_node("Unsqueeze", ["w", "axes"], ["deep"])],
        [_value("w", FLOATS), _value("axes", np.array([-1]))],
    )
    deep = read_content(model.SerializeToString()).graph.constants["deep"]
    assert deep.shape == (4, 6, 1)
