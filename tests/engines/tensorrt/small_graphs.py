"""Graphs of a few operators, and what onnxruntime makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from fiqa_fast.provenance import Provenance

PROVENANCE = Provenance(
    scorer="embedding-norm",
    outputs=("a", "b"),
    default_output="a",
    higher_is_better=True,
    backbone="small",
    weights_sha256="0" * 64,
    bn_statistics="training",
    variant="official",
    parameters="{}",
    precision="float32",
    device="cuda:0",
    engine="tensorrt",
    seed=None,
    version="0",
)


def scorer(seed: int = 0, features: int = 4) -> onnx.ModelProto:
    """crops uint8 [B, 8, 8, 3], noise float32 [B, 3] -> raw_score [B, 2], embedding [B, features].

    Args:
        seed: of the weights.
        features: other numbers are another architecture.
    """
    rng = np.random.default_rng(seed)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Transpose", ["crops"], ["pixels"], perm=[0, 3, 1, 2], name="move"),
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "kernel"], ["map"], name="convolve"),
        helper.make_node("PRelu", ["map", "slope"], ["bent"]),
        helper.make_node("GlobalAveragePool", ["bent"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("Gemm", ["embedding", "matrix", "bias"], ["scores"], transB=1, name="fc"),
        helper.make_node("MatMul", ["noise", "mixing"], ["mixed"], name="mix"),
        helper.make_node("Add", ["scores", "mixed"], ["raw_score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "scorer",
        [
            helper.make_tensor_value_info("crops", TensorProto.UINT8, ["batch", 8, 8, 3]),
            helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["batch", 3]),
        ],
        [
            helper.make_tensor_value_info("raw_score", TensorProto.FLOAT, ["batch", 2]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", features]),
        ],
        [
            numpy_helper.from_array(np.array(127.5, np.float32), "scale"),
            weights("kernel", features, 3, 3, 3),
            weights("slope", features, 1, 1),
            weights("matrix", 2, features),
            weights("bias", 2),
            weights("mixing", 3, 2),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    entry = model.metadata_props.add()
    entry.key, entry.value = "fiqa", PROVENANCE.to_json()
    onnx.checker.check_model(model, full_check=True)
    return model


def inputs(batch: int, seed: int = 1) -> dict[str, np.ndarray]:
    """For `scorer`."""
    rng = np.random.default_rng(seed)
    return {
        "crops": rng.integers(0, 256, (batch, 8, 8, 3), dtype=np.uint8),
        "noise": rng.standard_normal((batch, 3)).astype(np.float32),
    }


def run(graph: Path | onnx.ModelProto, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """With onnxruntime."""
    content = graph.read_bytes() if isinstance(graph, Path) else graph.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))
