"""float32 matrix products as convolutions: the same numbers, in another order of additions."""

import numpy as np
import onnx
import pytest
import small_graphs
from onnx import TensorProto, helper, numpy_helper

from fiqa_fast.engines.tensorrt.turing import products_as_convolutions

RNG = np.random.default_rng(0)
PRODUCTS = {"Gemm", "MatMul"}


def weights(name, *shape):
    return numpy_helper.from_array(RNG.standard_normal(shape).astype(np.float32), name)


def graph(node, inputs, constants, kind=TensorProto.FLOAT):
    model = helper.make_model(
        helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info(n, kind, s) for n, s in inputs.items()],
            [helper.make_tensor_value_info("y", kind, None)],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def check(model, given):
    changed = products_as_convolutions(model)
    onnx.checker.check_model(changed, full_check=True)
    assert PRODUCTS.isdisjoint(n.op_type for n in changed.graph.node)
    before, after = (small_graphs.run(m, given)["y"] for m in (model, changed))
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
    names = {t.name for t in changed.graph.initializer}
    assert names == {i for n in changed.graph.node for i in n.input} & names, "weights left over"
    return changed


def values(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [(7,), (1, 7), (1,), None])
@pytest.mark.parametrize("factors", [{}, {"alpha": 0.5, "beta": 3.0}])
def test_gemm(transposed, bias, factors):
    matrix = weights("w", *((7, 6) if transposed else (6, 7)))
    constants = [matrix, *([weights("c", *bias)] if bias else [])]
    node = helper.make_node(
        "Gemm", ["x", "w", *(["c"] if bias else [])], ["y"], transB=transposed, **factors
    )
    model = graph(node, {"x": ["batch", 6]}, constants)
    changed = check(model, {"x": values(5, 6)})
    assert "Conv" in {n.op_type for n in changed.graph.node}


def test_gemm_with_a_summand_that_differs_between_rows():
    node = helper.make_node("Gemm", ["x", "w", "c"], ["y"], beta=2.0)
    model = graph(node, {"x": ["batch", 6], "c": ["batch", 7]}, [weights("w", 6, 7)])
    check(model, {"x": values(5, 6), "c": values(5, 7)})


@pytest.mark.parametrize("shape", [["batch", 6], ["batch", 4, 6], ["batch", 3, 4, 6]])
def test_activations_by_weights(shape):
    model = graph(helper.make_node("MatMul", ["x", "w"], ["y"]), {"x": shape}, [weights("w", 6, 7)])
    check(model, {"x": values(5, *shape[1:])})


def test_activations_by_activations():
    model = graph(
        helper.make_node("MatMul", ["a", "b"], ["y"]),
        {"a": ["batch", 4, 6], "b": ["batch", 6, 7]},
        [],
    )
    check(model, {"a": values(5, 4, 6), "b": values(5, 6, 7)})


def test_activations_by_a_stack_of_weights():
    model = graph(
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        {"x": ["batch", 4, 6]},
        [weights("w", 1, 6, 7)],
    )
    check(model, {"x": values(5, 4, 6)})


def test_half_precision_stays():
    """GPUs of that kind multiply matrices in fp16."""
    half = numpy_helper.from_array(values(6, 7).astype(np.float16), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = graph(node, {"x": ["batch", 6]}, [half], TensorProto.FLOAT16)
    assert [n.op_type for n in products_as_convolutions(model).graph.node] == ["MatMul"]


def test_what_cannot_be_rewritten_stays():
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)
    model = graph(node, {"x": [6, 5]}, [weights("w", 6, 7)])
    assert [n.op_type for n in products_as_convolutions(model).graph.node] == ["Gemm"]


def test_weights_that_two_operators_read_stay_for_the_other():
    model = graph(
        helper.make_node("MatMul", ["x", "w"], ["z"]), {"x": ["batch", 6]}, [weights("w", 6, 6)]
    )
    model.graph.node.append(helper.make_node("Sum", ["z", "w"], ["y"]))
    model = onnx.shape_inference.infer_shapes(model)
    check(model, {"x": values(6, 6)})
