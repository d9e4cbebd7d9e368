"""A scorer in a file, and back."""

import re

import numpy as np
import onnx
import pytest

from fiqa_fast.engines.export import export_scorer
from fiqa_fast.engines.exported import load_exported
from fiqa_fast.engines.inputs import inputs_of
from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.provenance import provenance_of
from fiqa_fast.scorers.registry import create_scorer


@pytest.mark.parametrize(
    ("to", "precision", "engine", "ran"),
    [
        ("onnx", "fp32", "onnxruntime", "float32"),
        ("openvino", "float32", "openvino", "float32"),
        ("openvino", "bf16", "openvino", "bf16"),
        ("openvino", "int8", "openvino", "int8"),
    ],
)
def test_a_file_knows_what_made_it(tmp_path, sface32, crops, to, precision, engine, ran):
    scorer = create_scorer("embedding-norm", backbone=sface32)
    path = export_scorer(
        scorer, to, tmp_path / "new", precision=precision, name="norm", calibration=list(crops)
    )
    assert path.parent == tmp_path / "new"
    assert path.stem == "norm"
    exported = load_exported(path)
    made_by = exported.provenance
    assert (made_by.engine, made_by.device, made_by.precision) == (engine, "cpu", ran)
    assert made_by.weights_sha256 == sface32.weights_sha256
    tolerance = {"float32": 2e-6, "bf16": 1e-2, "int8": 0.1}[ran]
    found = exported.score_all(crops)["score"].numpy()
    assert found == pytest.approx(scorer.score(crops).numpy(), rel=tolerance)


def test_random_methods_take_their_draws(tmp_path, scorer_of, crops):
    scorer = scorer_of("ser-fiq")
    exported = load_exported(export_scorer(scorer, "onnx", tmp_path))
    inputs = inputs_of(scorer, crops[:3])
    found = exported.run(crops[:3], inputs["noise"])["raw_score"][:, 0]
    assert found == pytest.approx(scorer.score(crops[:3]).numpy(), rel=1e-5)
    with pytest.raises(InvalidArgumentError, match="noise for each crop, got none; draw it with"):
        exported.run(crops[:3])
    assert exported.provenance == provenance_of(scorer).on("onnxruntime", "cpu")


def test_noise_for_a_method_without_any(tmp_path, scorer_of, crops):
    exported = load_exported(export_scorer(scorer_of("embedding-norm"), "onnx", tmp_path))
    with pytest.raises(InvalidArgumentError, match="no noise, got some"):
        exported.run(crops[:1], np.zeros((1, 3), np.float32))


@pytest.mark.parametrize(
    ("method", "to", "options", "message"),
    [
        ("embedding-norm", "coreml", {}, "onnx, openvino, tensorrt, tensorrt-rtx, got 'coreml'"),
        ("embedding-norm", "onnx", {"precision": "int4"}, "float32, fp16, bf16, int8, got 'int4'"),
        ("embedding-norm", "onnx", {"precision": "int8"}, "target openvino, got onnx"),
        ("embedding-norm", "openvino", {"precision": "int8"}, "got none; give a folder of faces"),
        ("grafiqs", "openvino", {"precision": "int8"}, "float32, fp16, bf16, got 'int8'"),
        ("faceqan", "openvino", {"precision": "bf16"}, "one of float32, got 'bf16'"),
    ],
)
def test_what_cannot_be_exported_says_why(tmp_path, scorer_of, method, to, options, message):
    with pytest.raises(InvalidArgumentError, match=re.escape(message)):
        export_scorer(scorer_of(method), to, tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_network_in_low_precision_is_refused(tmp_path, recipe_backbone):
    scorer = create_scorer("embedding-norm", backbone=recipe_backbone("iresnet18", "bf16"))
    with pytest.raises(InvalidArgumentError, match="a network in float32, got bf16"):
        export_scorer(scorer, "onnx", tmp_path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"ends in \.onnx, \.xml, \.plan, got model\.pb"):
        load_exported(tmp_path / "model.pb")
    with pytest.raises(WeightsError, match="found no file there"):
        load_exported(tmp_path / "model.onnx")
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes(b"no protobuf")
    with pytest.raises(WeightsError, match="export the scorer again"):
        load_exported(damaged)
    onnx.save(onnx.ModelProto(), damaged)
    with pytest.raises(WeightsError, match="without its metadata"):
        load_exported(damaged)
