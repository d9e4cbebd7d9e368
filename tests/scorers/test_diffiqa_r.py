"""DifFIQA(R), from a file in the released layout, against plain functional calls in float64."""

import iresnet_twin
import pytest
import torch

from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.diffiqa_r import DifFiqaR

HEAD = {"linear.weight": torch.Size([1, 512]), "linear.bias": torch.Size([1])}


@pytest.fixture(scope="module")
def tensors(recipe_state_dict):
    return recipe_state_dict(iresnet_twin.released_shapes() | HEAD)


@pytest.fixture(scope="module")
def path(tmp_path_factory, tensors):
    """A file with the released names: the network under `base.`."""
    path = tmp_path_factory.mktemp("diffiqa_r") / "diffiqa_r.pth"
    torch.save({n if n in HEAD else f"base.{n}": t for n, t in tensors.items()}, path)
    yield path
    path.unlink()


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-9), ("float32", 2e-5)])
def test_a_released_file_equals_the_formula(path, tensors, crops, precision, tolerance):
    network = load_backbone(weights=path, precision=precision, device="cpu")
    assert (network.spec.name, network.head.kind) == ("iresnet18", "diffiqa-r")
    _, embedding = iresnet_twin.embed(tensors, crops[:1])
    weight, bias = tensors["linear.weight"].double(), tensors["linear.bias"].double()
    scores = DifFiqaR(network).score(crops[:1]).double()
    torch.testing.assert_close(scores, embedding @ weight[0] + bias, rtol=0, atol=tolerance)


def test_a_network_without_the_head_is_refused(sface32):
    with pytest.raises(
        InvalidArgumentError, match=r"diffiqa-r: expected .* head of diffiqa-r, got sface with no"
    ):
        DifFiqaR(sface32)
