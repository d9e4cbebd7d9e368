"""Graphs give what the plain layers give, on any batch, with plain operators only."""

from collections import defaultdict

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from fiqa_fast.engines.inputs import inputs_of
from fiqa_fast.engines.onnx_file import OPSET, read_provenance, to_onnx
from fiqa_fast.engines.onnxruntime import OnnxRuntimeRunner
from fiqa_fast.engines.plain_layers import on_plain_layers
from fiqa_fast.errors import UnavailableError, WeightsError
from fiqa_fast.provenance import provenance_of
from fiqa_fast.scorers.embedding_norm import EmbeddingNorm
from fiqa_fast.scorers.registry import create_scorer

# Relative; FaceQAN takes signs of vanishing gradients, and LightQNet's sigmoid ends near 0.
TOLERANCES = {
    "embedding-norm": 2e-6,
    "froq": 1e-4,  # a float32 sum of a hundred thousand squares
    "ser-fiq": 1e-5,
    "cr-fiqa": 5e-5,
    "lightqnet": 2e-5,
    "norm-sphereface4": 2e-6,
    "grafiqs": 2e-4,
    "faceqan": 1e-3,
}
EXPENSIVE = ("grafiqs", "faceqan")


@pytest.mark.parametrize("name", TOLERANCES)
def test_scores_are_those_of_the_plain_layers(name, scorer_of, graph_of, crops):
    scorer = scorer_of(name)
    runner = OnnxRuntimeRunner(graph_of(name))
    batch = crops[[0, 4, 9]]
    found = runner.run(inputs_of(scorer, batch))
    assert found["raw_score"].dtype == np.float32
    assert found["raw_score"].shape == (3, len(scorer.spec.outputs))
    expected = scorer.score_all(batch)
    for column, output in zip(found["raw_score"].T, scorer.spec.outputs, strict=True):
        assert column == pytest.approx(expected[output].numpy(), rel=TOLERANCES[name])
    one = runner.run(inputs_of(scorer, batch[1:2]))["raw_score"]
    assert one == pytest.approx(found["raw_score"][1:2], rel=TOLERANCES[name])


def test_the_embedding_comes_too(scorer_of, graph_of, crops):
    backbone = scorer_of("embedding-norm").backbone
    found = OnnxRuntimeRunner(graph_of("embedding-norm")).run({"crops": crops[:3]})
    pixels = torch.from_numpy(crops[:3]).permute(0, 3, 1, 2)
    expected = backbone(backbone.normalise(pixels)).numpy()
    assert found["embedding"] == pytest.approx(expected, abs=5e-5)
    assert np.linalg.norm(found["embedding"], axis=1) == pytest.approx(found["raw_score"][:, 0])


@pytest.mark.parametrize("name", TOLERANCES)
def test_only_the_batch_is_dynamic_and_operators_are_standard(name, graph_of):
    model = graph_of(name)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    for value in (*model.graph.input, *model.graph.output):
        batch, *rest = value.type.tensor_type.shape.dim
        assert batch.dim_param == "batch"
        assert all(d.dim_value > 0 for d in rest)
    kinds = {t.data_type for t in model.graph.initializer}
    kinds |= {v.type.tensor_type.elem_type for v in model.graph.value_info}
    assert TensorProto.DOUBLE not in kinds


@pytest.mark.parametrize("name", EXPENSIVE)
def test_no_weight_feeds_a_convolution_and_a_transposed_one(name, graph_of):
    """OpenVINO 2026.4 would compute wrong numbers (41 % off) in float32."""
    readers = defaultdict(set)
    for node in graph_of(name).graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            readers[node.input[1]].add(node.op_type)
    assert any("ConvTranspose" in kinds for kinds in readers.values())
    assert all(len(kinds) == 1 for kinds in readers.values())


@pytest.mark.parametrize("name", EXPENSIVE)
def test_nothing_is_computed_from_weights_alone(name, graph_of):
    model = graph_of(name)
    constant = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        inputs = [i for i in node.input if i]
        assert not inputs or any(i not in constant for i in inputs), node.op_type


def test_graphs_know_what_made_them(scorer_of, graph_of):
    assert read_provenance(graph_of("grafiqs")) == provenance_of(scorer_of("grafiqs"))
    stranger = onnx.ModelProto()
    with pytest.raises(WeightsError, match="that `fiqa-fast export` wrote"):
        read_provenance(stranger)


def test_low_precisions_are_the_graph_s_own(sface32, crops):
    scorer = create_scorer("embedding-norm", backbone=sface32)
    for precision, kind in (("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)):
        model = to_onnx(on_plain_layers(scorer, precision))
        assert read_provenance(model).precision == precision
        types = {t.name: t.data_type for t in model.graph.initializer}
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        assert {types[node.input[1]] for node in convolutions} == {kind}
        with pytest.raises(UnavailableError, match=f"float32, got {precision}"):
            OnnxRuntimeRunner(model)


class _Program(EmbeddingNorm):
    def why_no_graph(self):
        return "a library computes it"


def test_methods_without_a_graph_say_why(sface32):
    message = "got embedding-norm: a library computes it; run it on the engine torch"
    with pytest.raises(UnavailableError, match=message):
        to_onnx(_Program(sface32, engine="reference"))
