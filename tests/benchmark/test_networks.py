from pathlib import Path

import pytest
import torch

from fiqa_fast.benchmark.networks import NetworkFiles, NetworkSource, load
from fiqa_fast.errors import InvalidArgumentError, WeightsError


def test_packaged_and_own_weights():
    with NetworkFiles() as files:
        assert files.find("sface") == NetworkSource("sface", None, "packaged")
        own = files.find(None, Path("some/backbone.pth"))
        assert own == NetworkSource(None, Path("some/backbone.pth"), "backbone.pth")


def test_recipe_weights_load_as_a_file(recipe_backbone):
    with NetworkFiles() as files:
        source = files.find("iresnet18")
        assert source.origin == "recipe"
        assert files.find("iresnet18") == source
        network = load(source, precision="float32", device="cpu")
        path = source.weights
    assert not path.exists()
    expected = recipe_backbone("iresnet18")
    x = torch.rand(1, 3, 112, 112)
    with torch.no_grad():
        assert torch.equal(network(x), expected(x))
    assert network.spec.name == "iresnet18"
    assert network.bn_statistics == "training"


@pytest.mark.parametrize("name", ["resnet", "none"])
def test_an_unknown_network(name):
    with NetworkFiles() as files, pytest.raises(InvalidArgumentError, match=f"got '{name}'"):
        files.find(name)


def test_a_network_that_is_nothing_without_its_head():
    with NetworkFiles() as files, pytest.raises(WeightsError, match="expected --weights"):
        files.find("lightqnet-dm100")
