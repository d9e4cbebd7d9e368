"""CR-FIQA against numbers of the authors' network code, with the weights of the golden recipe."""

import hashlib
import json

import iresnet_twin
import pytest
import torch

from fiqa_fast.backbones.layers.heads import CrFiqaHead
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.cr_fiqa import CrFiqa

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def golden(golden_dir):
    return json.loads((golden_dir / "crfiqa.json").read_text())["iresnet50"]


@pytest.fixture(scope="module")
def network32(recipe_backbone):
    return recipe_backbone("iresnet50", "float32", CrFiqaHead(512))


@pytest.fixture(scope="module")
def network64(recipe_backbone):
    return recipe_backbone("iresnet50", "float64", CrFiqaHead(512))


def _check(network, crops, names, golden, tolerance):
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2)
    scores = CrFiqa(network).score(crops).tolist()
    for i, name in enumerate(names):
        expected = golden["crops"][name]
        embedding = network(network.normalise(pixels[i : i + 1]))[0]
        assert scores[i] == pytest.approx(expected["qs"], rel=0, abs=tolerance)
        first = expected["embedding_first8"]
        assert embedding[:8].tolist() == pytest.approx(first, rel=0, abs=tolerance)
        norm = expected["embedding_norm"]
        assert embedding.norm().item() == pytest.approx(norm, rel=0, abs=20 * tolerance)


def test_the_weights_are_those_of_the_golden_numbers(network32, golden):
    state = {name.removeprefix("head."): t for name, t in network32.state_dict().items()}
    assert len(state) == 477
    content = b"".join(state[name].numpy().tobytes() for name in sorted(state))
    assert hashlib.sha256(content).hexdigest() == golden["weights_sha256"]


def test_float32_equals_golden(network32, crops, crop_names, golden):
    _check(network32, crops[::6], crop_names[::6], golden, 1e-4)


@slow
def test_float32_equals_golden_on_every_crop(network32, crops, crop_names, golden):
    _check(network32, crops, crop_names, golden, 1e-4)


def test_float64_equals_golden(network64, crops, crop_names, golden):
    _check(network64, crops[:1], crop_names[:1], golden, 1e-9)


@slow
def test_float64_equals_golden_on_every_crop(network64, crops, crop_names, golden):
    _check(network64, crops, crop_names, golden, 1e-9)


def test_a_file_in_the_released_layout_equals_the_formula(tmp_path, recipe_state_dict, crops):
    shapes = iresnet_twin.released_shapes()
    head = {"qs.weight": torch.Size([1, 512]), "qs.bias": torch.Size([1])}
    tensors = recipe_state_dict(shapes | head)
    path = tmp_path / "32572backbone.pth"
    torch.save(tensors, path)
    network = load_backbone(weights=path, precision="float64", device="cpu")
    path.unlink()

    assert (network.spec.name, network.head.kind) == ("iresnet18", "cr-fiqa")
    _, embedding = iresnet_twin.embed(tensors, crops[:1])
    expected = embedding @ tensors["qs.weight"][0].double() + tensors["qs.bias"].double()
    torch.testing.assert_close(CrFiqa(network).score(crops[:1]), expected, rtol=0, atol=1e-9)


def test_a_network_without_the_head_is_refused(sface32):
    with pytest.raises(
        InvalidArgumentError, match=r"head of cr-fiqa, got sface with no quality head; .*32572"
    ):
        CrFiqa(sface32)
