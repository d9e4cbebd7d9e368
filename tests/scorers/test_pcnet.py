"""PCNet in the package's own layout against plain functional calls in float64."""

import iresnet_twin
import pytest
import torch

from fiqa_fast.backbones.layers.heads import CrFiqaHead, PcNetHead
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.pcnet import PCNet

HEAD = {"pcnet.weight": torch.Size([1, 512]), "pcnet.bias": torch.Size([1])}


@pytest.fixture(scope="module")
def tensors(recipe_state_dict):
    return recipe_state_dict(iresnet_twin.released_shapes() | HEAD)


@pytest.fixture(scope="module", params=["", "module."])
def path(tmp_path_factory, tensors, request):
    """A file of one's own training, with and without what DataParallel puts before the names."""
    path = tmp_path_factory.mktemp("pcnet") / "pcnet.pth"
    torch.save({"state_dict": {request.param + n: t for n, t in tensors.items()}}, path)
    yield path
    path.unlink()


def test_a_file_equals_the_formula(path, tensors, crops):
    _, embedding = iresnet_twin.embed(tensors, crops[:1])
    weight, bias = tensors["pcnet.weight"].double(), tensors["pcnet.bias"].double()
    expected = embedding @ weight[0] + bias
    for precision, tolerance in (("float64", 1e-9), ("float32", 2e-5)):
        network = load_backbone(weights=path, precision=precision, device="cpu")
        assert (network.spec.name, network.head.kind) == ("iresnet18", "pcnet")
        scores = PCNet(network).score(crops[:1]).double()
        torch.testing.assert_close(scores, expected, rtol=0, atol=tolerance)


def test_a_head_of_another_size_is_refused(recipe_backbone, crops):
    network = recipe_backbone("iresnet18", head=PcNetHead(256))
    with pytest.raises(
        InvalidArgumentError, match="whose embedding has 256 numbers, got iresnet18 with 512"
    ):
        PCNet(network).score(crops[:1])


def test_low_precision_stays_near(recipe_backbone, crops):
    reference = PCNet(recipe_backbone("iresnet18", head=PcNetHead(512))).score(crops[:1])
    scores = PCNet(recipe_backbone("iresnet18", "bf16", PcNetHead(512))).score(crops[:1])
    assert scores.dtype == torch.float32
    assert 0 < (scores - reference).abs().max() < 0.05


def test_the_head_of_another_method_is_refused(recipe_backbone):
    network = recipe_backbone("iresnet18", head=CrFiqaHead(512))
    with pytest.raises(
        InvalidArgumentError, match=r"head of pcnet, got iresnet18 with the quality head of cr-fiqa"
    ):
        PCNet(network)
