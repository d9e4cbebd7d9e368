"""uint8 inputs are converted before anything else; the numbers stay."""

import numpy as np
import onnx
import pytest
import small_graphs
from onnx import TensorProto, helper, numpy_helper

from fiqa_fast.engines.tensorrt.uint8_inputs import convert_first


def graph(nodes, outputs, weights=()):
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, ["batch", 4, 6])],
            [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs],
            list(weights),
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


PIXELS = {"x": np.random.default_rng(0).integers(0, 256, (3, 4, 6), dtype=np.uint8)}


def check(model):
    """The same numbers, and nothing but conversions reads uint8."""
    changed = convert_first(model)
    onnx.checker.check_model(changed, full_check=True)
    assert {n.op_type for n in changed.graph.node if "x" in n.input} == {"Cast"}
    before, after = (small_graphs.run(m, PIXELS) for m in (model, changed))
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)
    return changed


def test_one_type():
    model = graph(
        [
            helper.make_node("Transpose", ["x"], ["moved"], perm=[0, 2, 1]),
            helper.make_node("Cast", ["moved"], ["y"], to=TensorProto.FLOAT16),
        ],
        [("y", TensorProto.FLOAT16)],
    )
    changed = check(model)
    assert helper.get_node_attr_value(changed.graph.node[0], "to") == TensorProto.FLOAT16
    assert model.graph.node[0].input == ["x"], "the given graph was changed"


def test_two_types_and_a_shape():
    model = graph(
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Transpose", ["x"], ["moved"], perm=[0, 2, 1]),
            helper.make_node("Slice", ["moved", "start", "stop"], ["cut"]),
            helper.make_node("Cast", ["cut"], ["y"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["moved"], ["z"], to=TensorProto.INT64),
        ],
        [("y", TensorProto.FLOAT), ("z", TensorProto.INT64), ("shape", TensorProto.INT64)],
        [
            numpy_helper.from_array(np.array([1]), "start"),
            numpy_helper.from_array(np.array([3]), "stop"),
        ],
    )
    changed = check(model)
    assert helper.get_node_attr_value(changed.graph.node[0], "to") == TensorProto.INT32


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        # Wraps around at 256: computing in another type would give other numbers.
        [
            helper.make_node("Transpose", ["x"], ["moved"], perm=[0, 2, 1]),
            helper.make_node("Add", ["moved", "moved"], ["sum"]),
            helper.make_node("Cast", ["sum"], ["y"], to=TensorProto.FLOAT),
        ],
    ],
    ids=["converted first already", "computed with"],
)
def test_graphs_that_stay(nodes):
    model = graph(nodes, [("y", TensorProto.FLOAT)])
    assert convert_first(model) is model
