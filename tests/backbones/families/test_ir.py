import hashlib
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fiqa_fast.backbones.checkpoint_parts import CheckpointParts
from fiqa_fast.backbones.families import ir
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.weights.file import WeightsFile


@pytest.fixture(scope="module")
def golden(golden_dir):
    return json.loads((golden_dir / "curricularface.json").read_text())


@pytest.fixture(scope="module")
def ir101(recipe_backbone):
    return recipe_backbone("ir101")


def _input(network, crops):
    return network.normalise(torch.from_numpy(crops).permute(0, 3, 1, 2))


def _parts(tensors, tmp_path):
    file = WeightsFile(tmp_path / "some.pth", "torch", "", tensors)
    return CheckpointParts(file, "", tensors, {})


def _meta_tensors(name):
    with torch.device("meta"):
        return dict(ir.skeleton(name).state_dict())


def _recognised(tensors, tmp_path, name=None):
    with torch.device("meta"):
        return ir.recognise(_parts(tensors, tmp_path), name)


def test_keys_and_recipe_weights_are_those_of_the_official_network(ir101, golden):
    state = ir101.state_dict()
    assert len(state) == golden["weights_keys"]
    digest = hashlib.sha256()
    for _, tensor in sorted(state.items()):
        digest.update(tensor.numpy().tobytes())
    assert digest.hexdigest() == golden["weights_sha256"]
    assert len(ir101.batch_norms) == 103


def test_embeddings_equal_golden(ir101, golden, crops, crop_names):
    names = crop_names[:4]
    assert names == list(golden["crops"])
    embeddings = ir101(_input(ir101, crops[:4])).numpy()
    expected = [golden["crops"][name]["embedding_first8"] for name in names]
    np.testing.assert_allclose(embeddings[:, :8], expected, rtol=0, atol=1e-4)
    norms = [golden["crops"][name]["norm"] for name in names]
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), norms, rtol=1e-6)


def test_embedding_equals_golden_in_float64(recipe_backbone, golden, crops, crop_names):
    network = recipe_backbone("ir101", precision="float64")
    embedding = network(_input(network, crops[:1]))[0].numpy()
    expected = golden["crops"][crop_names[0]]
    np.testing.assert_allclose(embedding[:8], expected["embedding_first8"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(embedding), expected["norm"], rtol=1e-11)


def test_taps_are_the_last_units_of_each_resolution(ir101):
    x = torch.zeros(1, 3, 112, 112)
    shapes = []
    for stage in ir101.stages:
        x = stage(x)
        shapes.append(list(x.shape[1:]))
    assert shapes == [[64, 56, 56], [128, 28, 28], [256, 14, 14], [512, 7, 7], [512, 7, 7]]
    ends = [stage[-1] for stage in ir101.stages[:4]]
    assert ends == [ir101.body[i] for i in (2, 15, 45, 48)]
    assert [tap.split(":")[0] for tap in ir101.spec.taps.values()] == [
        "body.2", "body.15", "body.45", "body.48",
    ]  # fmt: skip


def test_the_observer_sees_every_batch_norm_once_in_order(ir101):
    seen = []
    ir101.trunk(torch.zeros(1, 3, 112, 112), lambda bn, x: seen.append((bn, x.shape[1])))
    assert [bn for bn, _ in seen] == ir101.batch_norms
    assert all(bn.num_features == channels for bn, channels in seen)


@pytest.mark.parametrize("name", ["ir50", "ir101", "ir152"])
def test_depth_is_recognised(name, tmp_path):
    network, _ = _recognised(_meta_tensors(name), tmp_path)
    assert network.spec.name == name
    assert network.spec.dropout == 0.4
    assert network.state_dict().keys() == _meta_tensors(name).keys()


def test_affine_last_batch_norm_and_embedding_size_are_recognised(tmp_path):
    tensors = _meta_tensors("ir50")
    tensors["output_layer.3.weight"] = torch.empty(256, 25088, device="meta")
    tensors["output_layer.3.bias"] = torch.empty(256, device="meta")
    for name in ("weight", "bias", "running_mean", "running_var"):
        tensors[f"output_layer.4.{name}"] = torch.empty(256, device="meta")
    network, given = _recognised(tensors, tmp_path)
    assert network.spec.embedding_size == 256
    assert network.spec.dropout == 0.5
    wanted = {n: t.shape for n, t in network.state_dict().items()}
    assert wanted == {n: t.shape for n, t in given.items()}


def test_only_the_name_tells_insightface_pytorch(tmp_path):
    network, _ = _recognised(_meta_tensors("ir50"), tmp_path, name="ir50-bgr")
    assert network.spec.name == "ir50-bgr"
    assert network.spec.dropout == 0.6
    pixels = torch.tensor([0.0, 127.5, 255.0]).reshape(1, 3, 1, 1)
    assert network.normalise(pixels).flatten().tolist() == [1, 0, -1]


def test_squeeze_and_excitation_is_recognised(tmp_path):
    tensors = _meta_tensors("ir50")
    for i, channels in enumerate([64] * 3 + [128] * 4 + [256] * 14 + [512] * 3):
        fc1 = torch.empty(channels // 16, channels, 1, 1, device="meta")
        tensors[f"body.{i}.res_layer.5.fc1.weight"] = fc1
        tensors[f"body.{i}.res_layer.5.fc2.weight"] = fc1.transpose(0, 1)
    network, given = _recognised(tensors, tmp_path)
    wanted = {n: t.shape for n, t in network.state_dict().items()}
    assert wanted == {n: t.shape for n, t in given.items()}


def test_squeeze_and_excitation_scales_the_residual_branch(recipe_state_dict):
    unit = ir.ResidualUnit(64, 64, 2, se=4).eval().requires_grad_(False)
    state = recipe_state_dict({n: t.shape for n, t in unit.state_dict().items()})
    unit.load_state_dict(state)
    x = torch.from_numpy(np.random.default_rng(5).standard_normal((2, 64, 8, 8))).float()

    def bn(y, layer):
        values = [state[f"res_layer.{layer}.{v}"] for v in ("running_mean", "running_var")]
        return F.batch_norm(
            y, *values, state[f"res_layer.{layer}.weight"], state[f"res_layer.{layer}.bias"]
        )

    y = F.conv2d(bn(x, 0), state["res_layer.1.weight"], padding=1)
    y = F.prelu(y, state["res_layer.2.weight"])
    y = bn(F.conv2d(y, state["res_layer.3.weight"], stride=2, padding=1), 4)
    gate = torch.einsum("oi,ni->no", state["res_layer.5.fc1.weight"][:, :, 0, 0], y.mean((2, 3)))
    gate = torch.einsum("oi,ni->no", state["res_layer.5.fc2.weight"][:, :, 0, 0], gate.clamp(min=0))
    expected = y * gate.sigmoid()[:, :, None, None] + F.max_pool2d(x, 1, 2)
    np.testing.assert_allclose(unit(x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("lost", ["input_layer.0.weight", "output_layer.3.weight"])
def test_other_tensors_are_not_recognised(lost, tmp_path):
    tensors = _meta_tensors("ir50")
    del tensors[lost]
    assert _recognised(tensors, tmp_path) is None


def test_an_unknown_depth_is_not_recognised(tmp_path):
    tensors = {n: t for n, t in _meta_tensors("ir50").items() if not n.startswith("body.23.")}
    assert _recognised(tensors, tmp_path) is None


def test_sdd_fiqa_has_features_but_no_embedding(tmp_path):
    tensors = _meta_tensors("sdd-ir50")
    quality = {"quality.3.weight": torch.empty(1, 25088, device="meta")}
    assert _recognised(tensors, tmp_path) is None
    network, _ = _recognised(tensors | quality, tmp_path)
    assert network.spec.name == "sdd-ir50"
    assert network.spec.embedding_size == 0
    assert network.trunk(torch.empty(2, 3, 112, 112, device="meta")).shape == (2, 25088)
    with pytest.raises(InvalidArgumentError, match="embed: expected a network that gives"):
        network.embed(torch.empty(2, 25088, device="meta"))
