"""What is read from an ONNX file before anything is built."""

import hashlib

import numpy as np
import onnx
import pytest
import small_graphs
from onnx import TensorProto, helper, numpy_helper

from fiqa_fast.engines.tensorrt.onnx_model import OnnxTensor, read_onnx
from fiqa_fast.errors import InvalidArgumentError


def saved(model, tmp_path, name="graph.onnx"):
    onnx.save(model, tmp_path / name)
    return read_onnx(tmp_path / name)


def test_inputs_outputs_provenance(graph):
    model = read_onnx(graph)
    assert model.inputs == (
        OnnxTensor("crops", "UINT8", (None, 8, 8, 3)),
        OnnxTensor("noise", "FLOAT", (None, 3)),
    )
    assert str(model.inputs[0]) == "crops UINT8 [?, 8, 8, 3]"
    assert [t.name for t in model.outputs] == ["raw_score", "embedding"]
    assert model.provenance == small_graphs.PROVENANCE
    assert model.sha256 == hashlib.sha256(graph.read_bytes()).hexdigest()


def test_a_graph_of_somebody_else(tmp_path):
    model = small_graphs.scorer()
    del model.metadata_props[:]
    assert saved(model, tmp_path).provenance is None


def test_number_formats(tmp_path):
    model = small_graphs.scorer()
    assert saved(model, tmp_path).number_formats == ("float32",)
    for node in model.graph.node:
        if node.op_type == "Cast":
            node.attribute[0].i = TensorProto.BFLOAT16
    mixed = saved(model, tmp_path)
    assert mixed.number_formats == ("bfloat16", "float32")
    assert mixed.uses_bfloat16
    half = numpy_helper.from_array(np.zeros(2, np.float16), "half")
    model.graph.node.append(helper.make_node("Constant", [], ["half"], value=half))
    assert saved(model, tmp_path).number_formats == ("bfloat16", "float16", "float32")


def test_structure_is_all_but_the_weights(tmp_path):
    first = saved(small_graphs.scorer(seed=0), tmp_path)
    second = saved(small_graphs.scorer(seed=1), tmp_path)
    assert first.sha256 != second.sha256
    assert first.structure_sha256 == second.structure_sha256
    wider = saved(small_graphs.scorer(features=5), tmp_path)
    assert wider.structure_sha256 != first.structure_sha256
    renamed = small_graphs.scorer()
    renamed.graph.node[3].name = "another"
    assert saved(renamed, tmp_path).structure_sha256 != first.structure_sha256


def test_whole_numbers_belong_to_the_structure(tmp_path):
    def with_shape(columns):
        model = small_graphs.scorer()
        model.graph.node.append(helper.make_node("Reshape", ["noise", "shape"], ["moved"]))
        model.graph.initializer.append(numpy_helper.from_array(np.array(columns), "shape"))
        return saved(model, tmp_path).structure_sha256

    assert with_shape([-1, 3]) == with_shape([-1, 3])
    assert with_shape([-1, 3]) != with_shape([3, -1])


def test_weights_in_other_files(tmp_path):
    onnx.save(
        small_graphs.scorer(),
        tmp_path / "graph.onnx",
        save_as_external_data=True,
        size_threshold=0,
    )
    with pytest.raises(InvalidArgumentError, match=r"with its weights inside.*external_data=False"):
        read_onnx(tmp_path / "graph.onnx")


@pytest.mark.parametrize("content", [b"", b"no protobuf", b"\x08\x09"])
def test_files_that_are_none(tmp_path, content):
    (tmp_path / "graph.onnx").write_bytes(content)
    with pytest.raises(InvalidArgumentError, match="expected an ONNX file"):
        read_onnx(tmp_path / "graph.onnx")
    with pytest.raises(InvalidArgumentError, match=r"missing\.onnx"):
        read_onnx(tmp_path / "missing.onnx")
