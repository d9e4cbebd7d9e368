"""bfloat16 transposed convolutions as plain ones: the same sums."""

import numpy as np
import onnx
import pytest
import small_graphs
from onnx import TensorProto, helper

from fiqa_fast.engines.tensorrt import build_engine
from fiqa_fast.engines.tensorrt.spread import spread_pixels

RNG = np.random.default_rng(0)


def graph(inputs, outputs, kernel, kind=TensorProto.BFLOAT16, bias=False, **attributes):
    """x float32 [batch, inputs, 6, 5] -> one transposed convolution -> y float32."""
    groups = attributes.get("group", 1)
    shape = (inputs, outputs // groups, kernel, kernel)
    values = RNG.standard_normal(shape).astype(np.float32)
    weights = [helper.make_tensor("w", kind, shape, values.flatten())]
    if bias:
        numbers = RNG.standard_normal(outputs).astype(np.float32)
        weights.append(helper.make_tensor("c", kind, (outputs,), numbers))
    names = ["a", "w", *(["c"] if bias else [])]
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Cast", ["x"], ["a"], to=kind),
                helper.make_node("ConvTranspose", names, ["b"], name="back", **attributes),
                helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
            ],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", inputs, 6, 5])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def in_float32(model):
    """onnxruntime has no convolutions in bfloat16: the same graph with the same numbers."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for tensor in changed.graph.initializer:
        if tensor.data_type == TensorProto.BFLOAT16:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    for node in changed.graph.node:
        if node.op_type == "Cast":
            node.attribute[0].i = TensorProto.FLOAT
    del changed.graph.value_info[:]
    return changed


SPREADS = {
    "3x3": (4, 6, 3, {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    "1x1": (4, 6, 1, {"strides": [2, 2], "output_padding": [1, 1]}),
    "one channel each": (
        4,
        4,
        3,
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1], "group": 4},
    ),
    "groups": (
        4,
        6,
        3,
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1], "group": 2},
    ),
    "stride 3 and 1": (2, 3, 4, {"strides": [3, 1], "pads": [1, 0, 0, 2]}),
    "stride 1": (4, 6, 3, {"pads": [1, 1, 1, 1]}),
    "a bias": (4, 6, 3, {"strides": [2, 2], "pads": [1, 1, 0, 0], "bias": True}),
}


@pytest.mark.parametrize("name", SPREADS)
def test_the_same_sums(name):
    inputs, outputs, kernel, attributes = SPREADS[name]
    model = graph(inputs, outputs, kernel, **attributes)
    changed = spread_pixels(model)
    onnx.checker.check_model(in_float32(changed), full_check=True)
    assert "ConvTranspose" not in {n.op_type for n in changed.graph.node}
    assert "w" not in {t.name for t in changed.graph.initializer}
    given = {"x": RNG.standard_normal((3, inputs, 6, 5)).astype(np.float32)}
    before, after = (small_graphs.run(in_float32(m), given)["y"] for m in (model, changed))
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["3x3", "one channel each", "stride 1"])
def test_tensorrt_rtx_builds_it(name, rtx, tmp_path):
    inputs, outputs, kernel, attributes = SPREADS[name]
    onnx.save(graph(inputs, outputs, kernel, **attributes), tmp_path / "graph.onnx")
    build_engine(tmp_path / "graph.onnx", tmp_path / "a.plan", flavour="tensorrt-rtx")


def test_tensorrt_rtx_needs_it(rtx, tmp_path, monkeypatch):
    """If this fails, TensorRT-RTX has learnt it, and spread.py can go."""
    from fiqa_fast.engines.tensorrt import graph_for_parser
    from fiqa_fast.errors import UnavailableError

    monkeypatch.setattr(graph_for_parser, "spread_pixels", lambda model: model)
    onnx.save(graph(4, 6, 3), tmp_path / "graph.onnx")
    with pytest.raises(UnavailableError, match=r"Could not infer output types.*deconv"):
        build_engine(tmp_path / "graph.onnx", tmp_path / "a.plan", flavour="tensorrt-rtx")


@pytest.mark.parametrize(
    "attributes",
    [
        {"dilations": [2, 2]},
        {"strides": [2, 2], "pads": [2, 2, 2, 2]},  # rows are cut off at the end
        {"auto_pad": "SAME_UPPER"},
        {"output_shape": [12, 10], "strides": [2, 2]},
    ],
)
def test_what_needs_more_stays(attributes):
    changed = spread_pixels(graph(4, 6, 3, **attributes))
    assert [n.op_type for n in changed.graph.node] == ["Cast", "ConvTranspose", "Cast"]
    assert [t.name for t in changed.graph.initializer] == ["w"]


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_other_numbers_stay(kind):
    model = graph(4, 6, 3, kind=kind)
    assert spread_pixels(model) is model
