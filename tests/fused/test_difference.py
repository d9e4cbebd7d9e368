"""Differences pushed through a network against the difference of two passes, in float64."""

import pytest
import torch

from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.fused.difference import DifferencePass
from fiqa_fast.fused.network import fused_network

COPIES = 3


def _pass(network, x):
    fused = fused_network(network)
    run = fused.run(x, keep_from=0)
    return DifferencePass(fused, run.kept, fused.embedding(run.outputs[-1]))


@pytest.fixture(scope="module", params=["sface", "iresnet18"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def of_precision(name, sface32, sface64, recipe_backbone):
    def get(precision):
        if name == "sface":
            known = {"float32": sface32, "float64": sface64}
            if precision in known:
                return known[precision]
            return load_backbone("sface", precision=precision, device="cpu")
        return recipe_backbone(name, precision)

    return get


@pytest.fixture(scope="module")
def images(of_precision, crops):
    """Two images and three differences to each, float64."""
    network = of_precision("float64")
    x = network.normalise(torch.from_numpy(crops[:2]).permute(0, 3, 1, 2))
    generator = torch.Generator().manual_seed(0)
    d = 2e-3 * torch.randn(2 * COPIES, *x.shape[1:], generator=generator, dtype=torch.float64)
    return x, d


@pytest.fixture(scope="module")
def expected(of_precision, images):
    """Cosines, and gradients of the angles, by autograd."""
    network, (x, d) = of_precision("float64"), images
    moved = (x.repeat_interleave(COPIES, 0) + d).requires_grad_()
    base = network(x).repeat_interleave(COPIES, 0)
    cosine = torch.nn.functional.cosine_similarity(network(moved), base)
    (gradient,) = torch.autograd.grad((1 - cosine).sum(), moved)
    return cosine.detach().reshape(2, COPIES), gradient


def test_float64_equals_two_passes(of_precision, images, expected):
    cosine, gradient = expected
    differences = _pass(of_precision("float64"), images[0])
    turn = differences.forward(images[1].clone())
    torch.testing.assert_close(1 - turn.cosine, 1 - cosine, rtol=1e-6, atol=1e-13)
    back = differences.backward(turn)
    unit = gradient / gradient.flatten(1).norm(dim=1)[:, None, None, None]
    back = back / back.flatten(1).norm(dim=1)[:, None, None, None]
    torch.testing.assert_close(back, unit, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_low_precision_keeps_relative_precision(name, of_precision, images, expected, precision):
    """A plain pass in bf16 gives 1 - cos sixty times too large; differences keep their digits."""
    # What bf16 loses is that the weights themselves are rounded; 1 - cos has that twice.
    relative, agree = (1e-3, 0.999) if precision == "float32" else (2e-2, 0.97)
    if (name, precision) == ("sface", "bf16"):
        relative, agree = 6e-2, 0.91  # beyond the published bound, see fiqa_fast.precision
    cosine, gradient = expected
    differences = _pass(of_precision(precision), images[0].float())
    turn = differences.forward(images[1].float())
    torch.testing.assert_close(1 - turn.cosine, 1 - cosine, rtol=relative, atol=0)
    back = differences.backward(turn).double()
    same_sign = (back.sign() == gradient.sign()).double().mean()
    assert same_sign > agree


def test_a_copy_does_not_see_the_others(recipe_backbone, images, crops):
    network = recipe_backbone("iresnet18", "bf16")
    x = network.normalise(torch.from_numpy(crops[:2]).permute(0, 3, 1, 2))
    d = images[1].float()
    whole = _pass(network, x).forward(d)
    second = _pass(network, x[1:]).forward(d[COPIES:])
    assert torch.equal(second.cosine[0], whole.cosine[1])
    assert torch.equal(second.direction, whole.direction[COPIES:])


def test_no_difference_no_turn(of_precision, images):
    turn = _pass(of_precision("float64"), images[0]).forward(torch.zeros_like(images[1]))
    assert (turn.cosine == 1).all()
    assert torch.isfinite(turn.direction).all()
