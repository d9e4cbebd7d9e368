import hashlib
import json

import cv2
import numpy as np
import pytest

from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.lightqnet import LightQNet

MODELS = ("dm100", "dm050", "dm025")


@pytest.fixture(scope="module")
def golden(golden_dir):
    return json.loads((golden_dir / "lightqnet.json").read_text())


@pytest.fixture(scope="module")
def folder(golden_dir):
    return golden_dir / "lightqnet"


def _scorer(folder, model, precision="float32"):
    path = folder / f"lightqnet-{model}.pb"
    return LightQNet(load_backbone(weights=path, precision=precision, device="cpu"))


# The golden numbers are float32 of another runtime; observed 3e-7, 3e-7 and 4e-7.
@pytest.mark.parametrize("model", MODELS)
def test_scores_equal_golden(folder, golden, crops, crop_names, model):
    scorer = _scorer(folder, model)
    assert scorer.backbone.weights_sha256 == golden["models"][model]["sha256"]
    expected = [golden["crops"][name][model] for name in crop_names]
    np.testing.assert_allclose(scorer.score(crops), expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("model", MODELS)
def test_scores_equal_opencv_running_the_graph(folder, crops, model):
    graph = cv2.dnn.readNetFromTensorflow(str(folder / f"lightqnet-{model}.pb"))
    expected = []
    for crop in crops[::5]:
        resized = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), (96, 96))
        graph.setInput(((resized.astype(np.float32) - 128) / 128).transpose(2, 0, 1)[None])
        expected.append(graph.forward().item())
    scores = _scorer(folder, model, "float64").score(crops[::5])
    np.testing.assert_allclose(scores, expected, rtol=0, atol=3e-6)


def test_files_are_those_of_the_release(folder, golden):
    for entry in golden["models"].values():
        assert hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    assert "MIT License" in (folder / "LICENSE").read_text()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_stays_close(folder, crops, precision):
    expected = _scorer(folder, "dm050").score(crops[:2])
    scores = _scorer(folder, "dm050", precision).score(crops[:2])
    np.testing.assert_allclose(scores, expected, rtol=0, atol=0.02)


def test_other_networks_are_refused(sface32):
    with pytest.raises(InvalidArgumentError, match=r"head of lightqnet, got sface.*dm100\.pb"):
        LightQNet(sface32)
