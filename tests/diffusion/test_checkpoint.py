import hashlib

import numpy as np
import pytest
import torch

from fiqa_fast.diffusion.checkpoint import load_diffusion
from fiqa_fast.diffusion.unet import UNet, UNetSize
from fiqa_fast.errors import WeightsError

CPU = torch.device("cpu")
BETAS = torch.linspace(1e-4, 0.02, 10)


def _unet_state(recipe_state_dict, downsampling="unshuffle", widths=(8, 16)):
    with torch.device("meta"):
        unet = UNet(UNetSize(8, widths, downsampling))
    return recipe_state_dict({name: t.shape for name, t in unet.state_dict().items()})


def _diffusion_state(state, prefix=""):
    """As GaussianDiffusion saves it: the UNet, the schedule, and numbers made of the schedule."""
    named = {f"{prefix}model.{name}": t for name, t in state.items()}
    return {f"{prefix}betas": BETAS, f"{prefix}alphas_cumprod": (1 - BETAS).cumprod(0), **named}


@pytest.fixture
def unet_state(recipe_state_dict):
    return _unet_state(recipe_state_dict)


@pytest.fixture
def save(tmp_path):
    def to_file(content):
        path = tmp_path / "unet.pt"
        torch.save(content, path)
        return path

    return to_file


@pytest.mark.parametrize("downsampling", ["unshuffle", "strided"])
@pytest.mark.parametrize("widths", [(8,), (8, 16), (16, 8, 32)])
def test_size_schedule_and_weights(recipe_state_dict, save, downsampling, widths):
    state = _unet_state(recipe_state_dict, downsampling, widths)
    path = save(_diffusion_state(state))
    model = load_diffusion(path, CPU, torch.float64)
    shown = "unshuffle" if len(widths) == 1 else downsampling  # nothing is halved in one level
    assert model.unet.size == UNetSize(8, widths, shown)
    np.testing.assert_array_equal(model.schedule.betas, BETAS.double())
    assert model.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    loaded = model.unet.state_dict()
    assert loaded.keys() == state.keys()
    for name, tensor in loaded.items():
        assert tensor.dtype == torch.float64
        expected = state[name].double().numpy()
        if name.endswith(".proj.weight"):  # weight standardisation, of each output channel
            axes = {"axis": (1, 2, 3), "keepdims": True}
            expected = (expected - expected.mean(**axes)) / np.sqrt(expected.var(**axes) + 1e-5)
        np.testing.assert_allclose(tensor, expected, rtol=1e-12, atol=1e-15)
    assert not any(p.requires_grad for p in model.unet.parameters())
    assert not model.unet.training


def test_a_training_checkpoint_gives_the_weights_as_trained(unet_state, save):
    averaged = {name: 2 * tensor for name, tensor in unet_state.items()}
    ema = {
        "initted": torch.tensor(True),
        "step": torch.tensor(5),
        **_diffusion_state(unet_state, "online_model."),
        **_diffusion_state(averaged, "ema_model."),
    }
    checkpoint = {
        "step": 700,
        "model": _diffusion_state(unet_state),
        "opt": {"state": {}, "param_groups": [{"lr": 8e-5}]},
        "ema": ema,
        "scaler": None,
        "version": "1.0.7",
    }
    trained = load_diffusion(save(checkpoint), CPU, torch.float32)
    of_average = load_diffusion(save(ema), CPU, torch.float32)
    bias = unet_state["final_conv.bias"]
    assert torch.equal(trained.unet.final_conv.bias, bias)
    assert torch.equal(of_average.unet.final_conv.bias, 2 * bias)


def test_missing_unexpected_and_misshaped_tensors_are_listed(unet_state, save):
    del unet_state["mid_attn.fn.norm.g"]
    unet_state["mid_attn.fn.norm.b"] = torch.zeros(1)
    unet_state["final_conv.weight"] = torch.zeros(6, 8, 1, 1)
    with pytest.raises(WeightsError) as error:
        load_diffusion(save(_diffusion_state(unet_state)), CPU, torch.float32)
    assert "1 missing: mid_attn.fn.norm.g;" in str(error.value)
    assert "1 unexpected: mid_attn.fn.norm.b;" in str(error.value)
    assert "final_conv.weight [6, 8, 1, 1] instead of [3, 8, 1, 1]" in str(error.value)


def test_a_long_list_is_cut(unet_state, save):
    kept = {n: t for n, t in unet_state.items() if not n.startswith(("mid_", "ups."))}
    with pytest.raises(WeightsError, match=r"\d\d missing: .* and \d\d more; bring the whole"):
        load_diffusion(save(_diffusion_state(kept)), CPU, torch.float32)


def _without_level_end(state):
    return {n: t for n, t in state.items() if not n.startswith("downs.0.3.")}


def _with_odd_width(state):
    return {**state, "downs.1.3.weight": torch.zeros(12, 8, 3, 3)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {f"other.{n}": t for n, t in s.items()}, "expected the noise schedule"),
        (lambda s: {"conv1.weight": torch.zeros(2, 2)}, "with 0 of them"),
        (lambda s: {**_diffusion_state(s), **_diffusion_state(s, "b.")}, "with 2 of them"),
        (lambda s: {**_diffusion_state(s), "betas": torch.tensor([2.0])}, "betas .* no schedule"),
        (lambda s: _diffusion_state(_without_level_end(s)), r"downs\.0\.3\.weight or"),
        (lambda s: _diffusion_state(_with_odd_width(s)), r"multiples of 8, got \[8, 8, 12\]"),
    ],
)
def test_files_of_something_else(unet_state, save, change, message):
    with pytest.raises(WeightsError, match=f"diffusion: .*{message}"):
        load_diffusion(save(change(unet_state)), CPU, torch.float32)
