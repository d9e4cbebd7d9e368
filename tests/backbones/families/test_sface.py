import hashlib

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from fiqa_fast.backbones.families import sface
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import WeightsError
from fiqa_fast.weights.packaged import locate


def _embed(network, crops):
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2)
    return network(network.normalise(pixels)).numpy()


@pytest.fixture(scope="module")
def onnxruntime_session():
    model = onnx.load(locate(sface.DEFAULT_WEIGHTS))
    # The file lists its initialisers as inputs too, which onnxruntime would ask for.
    image = [i for i in model.graph.input if i.name == "data"]
    del model.graph.input[:]
    model.graph.input.extend(image)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options)


def test_embeddings_equal_onnxruntime(sface32, crops, onnxruntime_session):
    expected = np.concatenate(
        [
            onnxruntime_session.run(
                None, {"data": crop.transpose(2, 0, 1)[None].astype(np.float32)}
            )[0]
            for crop in crops
        ]
    )
    np.testing.assert_allclose(_embed(sface32, crops), expected, rtol=0, atol=5e-5)


def test_embeddings_equal_golden(sface64, crops, crop_names, golden_sface):
    expected = [golden_sface["crops"][name]["embedding"] for name in crop_names[::6]]
    np.testing.assert_allclose(_embed(sface64, crops[::6]), expected, rtol=0, atol=1e-12)


def test_has_the_layers_the_scorers_need(sface32, golden_sface):
    assert len(sface32.batch_norms) == 28
    assert sface32.weights_sha256 == golden_sface["weights_sha256"]
    assert not any(p.requires_grad for p in sface32.parameters())
    assert not sface32.training


def test_taps_are_the_last_outputs_before_each_downsampling(sface32):
    x = torch.zeros(1, 3, 112, 112)
    shapes = []
    for stage in sface32.stages:
        x = stage(x)
        shapes.append(list(x.shape[1:]))
    assert shapes == [[64, 112, 112], [128, 56, 56], [256, 28, 28], [512, 14, 14], [1024, 7, 7]]


def test_the_observer_sees_every_batch_norm_once_in_order(sface32):
    seen = []
    sface32.trunk(torch.zeros(2, 3, 112, 112), lambda bn, x: seen.append((bn, x.shape[1])))
    assert [bn for bn, _ in seen] == sface32.batch_norms
    assert all(bn.num_features == channels for bn, channels in seen)


@pytest.mark.parametrize(("precision", "cosine"), [("bf16", 0.99), ("fp16", 0.9999)])
def test_low_precision_stays_close(sface32, crops, precision, cosine):
    network = load_backbone("sface", precision=precision, device="cpu")
    assert network.batch_norms[0].running_mean.dtype == torch.float32
    low = torch.from_numpy(crops[:1]).permute(0, 3, 1, 2)
    embeddings = network(network.normalise(low)).float()
    reference = torch.from_numpy(_embed(sface32, crops[:1]))
    assert torch.cosine_similarity(embeddings, reference).min() > cosine


def test_weights_given_by_path(tmp_path):
    copy = tmp_path / "copy.onnx"
    content = locate(sface.DEFAULT_WEIGHTS).read_bytes()
    copy.write_bytes(content)
    network = load_backbone("sface", weights=copy, device="cpu")
    assert network.weights_sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("content", [b"", b"not onnx", b"\x08\x07\x12\x07pytorch"])
def test_wrong_weights_are_refused(tmp_path, content):
    path = tmp_path / "wrong.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights: expected .*wrong\.onnx.*; "):
        load_backbone("sface", weights=path)


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="expected a readable file"):
        load_backbone("sface", weights=tmp_path / "none.onnx")


def test_scores_do_not_depend_on_a_training_mode_around_the_network(sface32, crops):
    expected = _embed(sface32, crops[:1])
    torch.nn.Sequential(sface32).train()
    assert not any(module.training for module in sface32.modules())
    np.testing.assert_array_equal(_embed(sface32, crops[:1]), expected)
