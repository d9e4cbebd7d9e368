"""The loops give the golden numbers, and cost what the official scripts cost."""

import json

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fiqa_fast.benchmark import official_style
from fiqa_fast.benchmark.flops import count_network

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def golden(golden_dir):
    return json.loads((golden_dir / "iresnet.json").read_text())


@pytest.fixture(scope="module")
def iresnet18(recipe_backbone):
    return recipe_backbone("iresnet18")


@pytest.fixture(scope="module")
def faces(crops):
    return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()


def _noise(entry):
    state = torch.get_rng_state()
    torch.manual_seed(entry["torch_seed"])
    noise = [torch.FloatTensor(3, 112, 112).uniform_(-0.001, 0.001) for _ in range(10)]
    torch.set_rng_state(state)
    return torch.stack(noise)


def _check_grafiqs(network, faces, expected, rtol):
    scores = official_style.grafiqs(network, faces)
    assert list(scores) == list(official_style.GRAFIQS_OUTPUTS)
    for output, values in scores.items():
        reference = torch.tensor([e[output] for e in expected], dtype=torch.float64)
        torch.testing.assert_close(values.double(), reference, rtol=rtol, atol=0, msg=output)


@pytest.mark.parametrize(
    ("name", "precision", "count", "tolerance"),
    [
        ("iresnet18", "float32", 3, 5e-5),
        pytest.param("iresnet18", "float64", 3, 1e-9, marks=slow),
        pytest.param("iresnet50", "float32", 6, 5e-5, marks=slow),
    ],
)
def test_grafiqs(recipe_backbone, faces, crop_names, golden, name, precision, count, tolerance):
    expected = [golden["grafiqs"][name][crop] for crop in crop_names[:count]]
    _check_grafiqs(recipe_backbone(name, precision), faces[:count], expected, tolerance)


def test_grafiqs_on_sface(sface32, faces, crop_names, golden_sface):
    expected = [golden_sface["crops"][crop]["grafiqs"] for crop in crop_names[:2]]
    _check_grafiqs(sface32, faces[:2], expected, 1e-3)


@pytest.mark.parametrize(
    ("name", "precision", "key", "tolerance"),
    [
        ("iresnet18", "float32", "as_coded_float64", 5e-5),
        pytest.param("iresnet18", "float64", "as_coded_float64", 1e-6, marks=slow),
        pytest.param("iresnet50", "float32", "official_float32", 5e-5, marks=slow),
    ],
)
def test_faceqan(recipe_backbone, faces, crop_names, golden, name, precision, key, tolerance):
    entry = golden["faceqan"][name][crop_names[0]]
    network = recipe_backbone(name, precision)
    score = official_style.faceqan(network, faces[:1], noise=_noise(entry)[None])
    assert abs(score.item() / entry[key]["Q"] - 1) < tolerance


def test_ser_fiq(iresnet18, faces, crop_names, golden):
    entry = golden["ser_fiq"]["iresnet18"]
    generator = np.random.Generator(np.random.PCG64(entry["numpy_mask_seed"]))
    masks = torch.from_numpy(generator.random((100, 25088)) >= 0.4)[None].expand(2, -1, -1)
    scores = official_style.ser_fiq(iresnet18, faces[:2], masks=masks)
    expected = [entry["crops"][crop]["score_as_coded"] for crop in crop_names[:2]]
    reference = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(scores.double(), reference, rtol=1e-4, atol=0)


def test_forward_only(sface32, faces, crop_names, golden_sface):
    embeddings = official_style.forward_only(sface32, faces[:2])
    expected = [golden_sface["crops"][crop]["embedding"] for crop in crop_names[:2]]
    np.testing.assert_allclose(embeddings, expected, rtol=0, atol=5e-5)


class _Flops(TorchDispatchMode):
    """Adds up what torch says that its convolutions and matrix products cost."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def _gflop(call):
    with _Flops() as counter:
        call()
    return counter.total / 1e9


@pytest.mark.parametrize(("k", "l"), [(2, 2), (3, 1)])
def test_faceqan_pays_for_weight_gradients(iresnet18, faces, k, l):  # noqa: E741
    """Forward k l + 3 images, backward k l + 1 to the input and as many to the weights."""
    one = count_network(iresnet18).forward / 1e9
    spent = _gflop(lambda: official_style.faceqan(iresnet18, faces[:1], k=k, l=l))
    assert spent == pytest.approx((k * l + 3 + 2 * (k * l + 1)) * one, rel=1e-6)


def test_grafiqs_pays_for_a_pass_back_to_the_image(iresnet18, faces):
    flops = count_network(iresnet18)
    spent = _gflop(lambda: official_style.grafiqs(iresnet18, faces[:2]))
    expected = 2 * (flops.forward + flops.gradient("image"))
    assert spent == pytest.approx(expected / 1e9, rel=1e-6)


def test_ser_fiq_pays_for_the_last_layer_only(iresnet18, faces):
    flops = count_network(iresnet18)
    spent = _gflop(lambda: official_style.ser_fiq(iresnet18, faces[:1], T=7))
    assert spent == pytest.approx((flops.trunk + 7 * flops.embed) / 1e9, rel=1e-6)


def test_the_network_is_left_as_it_was(iresnet18, faces):
    official_style.grafiqs(iresnet18, faces[:1])
    official_style.faceqan(iresnet18, faces[:1], k=1, l=1)
    assert not any(p.requires_grad or p.grad is not None for p in iresnet18.parameters())
    assert not any(bn._forward_hooks for bn in iresnet18.batch_norms)


def test_the_network_is_frozen_again_after_an_error(iresnet18, faces):
    with pytest.raises(RuntimeError):
        official_style.faceqan(iresnet18, faces[:1], k=1, l=1, noise=torch.zeros(1, 1, 3, 5, 5))
    with pytest.raises(RuntimeError):
        official_style.grafiqs(iresnet18, torch.zeros(1, 3, 2, 2, dtype=torch.uint8))
    assert not any(p.requires_grad for p in iresnet18.parameters())
    assert not any(bn._forward_hooks for bn in iresnet18.batch_norms)
