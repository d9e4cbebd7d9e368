"""eDifFIQA, from a file in the released layout, against plain functional calls in float64."""

import iresnet_twin
import pytest
import torch

from fiqa_fast.backbones.layers.heads import recognise_head
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.ediffiqa import EDifFiqa

HEAD = {
    "mlp.l1.weight": torch.Size([1024, 512]),
    "mlp.l1.bias": torch.Size([1024]),
    "mlp.l2.weight": torch.Size([1, 1024]),
    "mlp.l2.bias": torch.Size([1]),
}


@pytest.fixture(scope="module")
def tensors(recipe_state_dict):
    return recipe_state_dict(iresnet_twin.released_shapes() | HEAD)


@pytest.fixture(scope="module")
def path(tmp_path_factory, tensors):
    """A file with the released names: the network under `base_model.`."""
    path = tmp_path_factory.mktemp("ediffiqa") / "ediffiqaS.pth"
    torch.save({n if n in HEAD else f"base_model.{n}": t for n, t in tensors.items()}, path)
    yield path
    path.unlink()


def _quality(tensors, embedding):
    """The head written out; the GELU through the error function."""
    w1, b1, w2, b2 = (tensors[name].double() for name in HEAD)
    hidden = embedding @ w1.T + b1
    return (hidden * (1 + torch.erf(hidden / 2**0.5)) / 2) @ w2[0] + b2


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-9), ("float32", 2e-5)])
def test_a_released_file_equals_the_formula(path, tensors, crops, precision, tolerance):
    network = load_backbone(weights=path, precision=precision, device="cpu")
    assert (network.spec.name, network.head.kind) == ("iresnet18", "ediffiqa")
    _, embedding = iresnet_twin.embed(tensors, crops[:1])
    scores = EDifFiqa(network).score(crops[:1]).double()
    torch.testing.assert_close(scores, _quality(tensors, embedding), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-9), ("float32", 2e-5)])
def test_the_smallest_size_normalises_its_embedding(
    tensors, recipe_backbone, crops, precision, tolerance
):
    head = recognise_head({name: tensors[name] for name in HEAD}, "mobilefacenet")
    network = recipe_backbone("mobilefacenet", precision, head)
    embedding = network(network.normalise(torch.from_numpy(crops[:1]).permute(0, 3, 1, 2))).double()
    expected = _quality(tensors, embedding / embedding.square().sum().sqrt())
    scores = EDifFiqa(network).score(crops[:1]).double()
    torch.testing.assert_close(scores, expected, rtol=0, atol=tolerance)


def test_a_network_without_the_head_is_refused(sface32):
    with pytest.raises(
        InvalidArgumentError, match=r"head of ediffiqa, got sface with no .*ediffiqaL\.pth"
    ):
        EDifFiqa(sface32)
