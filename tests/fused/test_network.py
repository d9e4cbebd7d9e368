"""Fused networks against the plain layers that they are made of."""

import pytest
import torch

from fiqa_fast.fused.forward_pass import FusedForwardPass
from fiqa_fast.fused.network import FusedNetwork, fused_network, why_not_fusable
from fiqa_fast.fused.units import Columns


@pytest.fixture(scope="module", params=["sface", "iresnet18"])
def network(request, sface64, recipe_backbone):
    return sface64 if request.param == "sface" else recipe_backbone(request.param, "float64")


@pytest.fixture(scope="module")
def x(crops):
    return torch.from_numpy(crops[:2]).permute(0, 3, 1, 2).contiguous()


def test_every_unit_and_the_embedding_in_float64(network, x):
    forward = FusedForwardPass(network, x)
    value = network.normalise(x)
    for stage, activation, outputs in zip(
        network.stages, forward.activations, forward.unit_outputs, strict=True
    ):
        for unit, output in zip(stage, outputs, strict=True):
            value = unit(value)
            torch.testing.assert_close(output, value, rtol=1e-9, atol=1e-10)
        assert activation is outputs[-1]
    torch.testing.assert_close(forward.features, value.flatten(1), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(forward.embedding, network(network.normalise(x)), rtol=1e-9, atol=0)
    features = forward.network.embedding.of_features(forward.features)
    torch.testing.assert_close(features, forward.embedding, rtol=1e-9, atol=1e-12)


def test_moments_are_those_that_an_observer_sees(network, x):
    fused = fused_network(network)
    moments = fused.statistics.new_moments(len(x))
    fused.run(network.normalise(x), Columns(moments))
    seen = {}
    network.trunk(network.normalise(x), lambda bn, value: seen.__setitem__(bn, value))
    assert len(seen) == len(network.batch_norms)
    var_mean = [torch.var_mean(value, (2, 3), correction=0) for value in seen.values()]
    expected = {tuple(mean[0].tolist()): var for var, mean in var_mean}
    for unit in fused.units:
        for layer, _ in unit.batch_norms:
            mean, var = moments[:, :, layer.columns]
            (match,) = (
                other
                for key, other in expected.items()
                if len(key) == mean.shape[1]
                and torch.allclose(torch.tensor(key), mean[0].float().to(torch.float32), atol=1e-5)
            )
            torch.testing.assert_close(var, match, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_what_is_kept_changes_nothing(recipe_backbone, x, precision):
    network = recipe_backbone("iresnet18", precision)
    fused = FusedNetwork(network)
    plain = fused.run(network.normalise(x)).outputs
    moments = fused.statistics.new_moments(len(x))
    for keep_from in (None, 0, 3):
        run = fused.run(network.normalise(x), Columns(moments), keep_from)
        assert all(torch.equal(a, b) for a, b in zip(run.outputs, plain, strict=True))
        kept = 0 if keep_from is None else len(fused.units) - keep_from
        assert sum(bool(of_unit) for of_unit in run.kept) == max(kept - 1, 0)  # not the last BN's


def test_hooks_on_stages_see_a_fused_pass(sface32, x):
    shapes = []
    handles = [
        stage.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
        for stage in sface32.stages
    ]
    try:
        assert FusedForwardPass(sface32, x).embedding.shape == (2, 128)
    finally:
        for handle in handles:
            handle.remove()
    assert [shape[2] for shape in shapes] == [112, 56, 28, 14, 7]


def test_a_network_is_fused_once(sface32):
    assert fused_network(sface32) is fused_network(sface32)


@pytest.mark.parametrize(
    ("name", "precision", "reason"),
    [
        ("mobilefacenet", "float32", "units of the kind Bottleneck"),
        ("ir50", "float32", "units of the kind LayerRow"),
        ("iresnet18", "fp16", "fp16 has no fast arithmetic on CPUs"),
        ("iresnet18", "bf16", ""),
        ("magface-iresnet18", "float32", ""),
    ],
)
def test_what_cannot_run_fused_says_why(recipe_backbone, name, precision, reason):
    found = why_not_fusable(recipe_backbone(name, precision))
    assert (reason in found) if reason else found == ""
