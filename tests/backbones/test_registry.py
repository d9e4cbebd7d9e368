import pytest
import torch

from fiqa_fast.backbones.registry import list_backbones, load_backbone, resolve_device
from fiqa_fast.errors import InvalidArgumentError, UnavailableError


def test_lists_the_default_network_with_its_licence():
    (spec,) = [s for s in list_backbones() if s.name == "sface"]
    assert spec.licence == "Apache-2.0"
    assert spec.dropout == 0.4


def test_unknown_names_say_what_is_valid():
    with pytest.raises(InvalidArgumentError, match=r"expected name to be one of sface.*'arcface'"):
        load_backbone("arcface")
    with pytest.raises(InvalidArgumentError, match=r"float32, bf16, fp16, got 'int3'"):
        load_backbone("sface", precision="int3")


def test_a_network_loaded_in_inference_mode_can_be_differentiated():
    with torch.inference_mode():
        network = load_backbone("sface", device="cpu")
    pixels = torch.zeros(1, 3, 112, 112, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(network.normalise(pixels)).sum(), pixels)
    assert gradient.abs().sum() > 0


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda")
    with pytest.raises(InvalidArgumentError, match="expected auto, cpu, cuda"):
        resolve_device("gpu")
    with pytest.raises(InvalidArgumentError, match="expected auto, cpu, cuda"):
        resolve_device("mps")
    with pytest.raises(UnavailableError, match="doctor"):
        resolve_device("cuda:99")
