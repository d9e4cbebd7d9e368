"""Hand-written passes back against autograd (the engine "reference")."""

import pytest
import torch

from fiqa_fast.fused.network import fused_network
from fiqa_fast.fused.statistics_gradient import TAPS, statistics_gradient
from fiqa_fast.scorers.grafiqs import GraFIQs, GraFIQsOptions


@pytest.mark.parametrize("variant", ["official", "paper"])
@pytest.mark.parametrize("name", ["sface", "iresnet18"])
def test_float64_equals_autograd(sface64, recipe_backbone, crops, name, variant):
    network = sface64 if name == "sface" else recipe_backbone(name, "float64")
    scorers = [GraFIQs(network, variant=variant, engine=e) for e in ("torch", "reference")]
    fused, plain = (scorer.score_all(crops[:2]) for scorer in scorers)
    for output, expected in plain.items():
        torch.testing.assert_close(fused[output], expected, rtol=1e-11, atol=0, msg=output)
    fused, plain = (scorer.explain(crops[:1]) for scorer in scorers)
    for output, expected in plain.items():
        torch.testing.assert_close(fused[output], expected, rtol=1e-8, atol=1e-12, msg=output)


@pytest.mark.parametrize("precision", ["float64", "float32", "bf16"])
def test_some_outputs_are_those_of_all(recipe_backbone, crops, precision):
    """The pass stops at the first wanted tap, and gathers no statistics in front of it."""
    network = recipe_backbone("iresnet18", precision)
    everything = GraFIQs(network, engine="torch").score_all(crops[:3])
    for output, expected in everything.items():
        alone = GraFIQs(network, GraFIQsOptions(output=output), engine="torch").score(crops[:3])
        assert torch.equal(alone, expected), output


def test_bf16_stays_near_float64(recipe_backbone, crops):
    """Measured on these crops: at most 9.2e-3 (image); storage keeps 8 bits, 3.9e-3 a rounding."""
    exact = GraFIQs(recipe_backbone("iresnet18", "float64")).score_all(crops[:6])
    low = GraFIQs(recipe_backbone("iresnet18", "bf16")).score_all(crops[:6])
    for output, expected in exact.items():
        torch.testing.assert_close(low[output].double(), expected, rtol=1.5e-2, atol=0)
        assert not torch.equal(low[output].double(), expected)


def test_memory_layout_and_batch_of_the_input(recipe_backbone, crops):
    network = recipe_backbone("iresnet18", "bf16")
    fused = fused_network(network)
    x = network.normalise(torch.from_numpy(crops[:3]).permute(0, 3, 1, 2))

    def sums(x):
        found = statistics_gradient(fused, x, TAPS, wants_loss=True, wants_maps=False, paper=False)
        return torch.stack([found.loss, *(tap.abs_sum for tap in found.taps.values())])

    expected = sums(x)
    assert torch.equal(sums(x.contiguous()), expected)
    assert torch.equal(sums(x[1:2]), expected[:, 1:2])
    assert torch.equal(sums(x.flip(0)), expected.flip(1))
