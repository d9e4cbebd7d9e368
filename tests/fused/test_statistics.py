"""The loss over all BatchNorm layers, and its gradient, against autograd in float64."""

import pytest
import torch
from torch import nn

from fiqa_fast.fused.batch_norm import FusedBatchNorm
from fiqa_fast.fused.statistics import StatisticsTable
from fiqa_fast.ops.bn_discrepancy import bn_discrepancy_reference


def _layer(channels, seed):
    generator = torch.Generator().manual_seed(seed)
    bn = nn.BatchNorm2d(channels).double()
    for tensor in (bn.weight.data, bn.bias.data, bn.running_mean):
        tensor.copy_(torch.randn(channels, generator=generator))
    bn.running_var.copy_(torch.rand(channels, generator=generator) + 0.5)
    return bn.eval()


@pytest.fixture(scope="module")
def layers():
    return [_layer(3, 0), _layer(5, 1)]


@pytest.fixture(scope="module")
def table(layers):
    fused = [
        FusedBatchNorm(layers[0], torch.float64, 0), FusedBatchNorm(layers[1], torch.float64, 3)
    ]  # fmt: skip
    return StatisticsTable(fused, [12, 4], 7)


def test_scale_and_shift_are_the_layer(layers):
    bn = layers[0]
    fused = FusedBatchNorm(bn, torch.float64, 4)
    x = torch.randn(2, 3, 4, 3, dtype=torch.float64)
    expected = fused.scale[:, None, None] * x + fused.shift[:, None, None]
    torch.testing.assert_close(bn(x), expected, rtol=1e-12, atol=1e-12)
    assert fused.columns == slice(4, 7)


@pytest.mark.parametrize("paper", [False, True])
def test_loss_and_terms_equal_autograd(layers, table, paper):
    generator = torch.Generator().manual_seed(2)
    inputs = [
        torch.randn(2, 3, 4, 3, generator=generator, dtype=torch.float64, requires_grad=True),
        torch.randn(2, 5, 2, 2, generator=generator, dtype=torch.float64, requires_grad=True),
    ]
    errors = []
    for bn, x in zip(layers, inputs, strict=True):
        found = bn_discrepancy_reference(x, bn.running_mean, bn.running_var, paper)
        errors.append(found.squared_error / (1 if paper else x.shape[1]))
    loss = torch.stack(errors).sum(0) / 7
    gradients = torch.autograd.grad(loss.sum(), inputs)

    moments = table.new_moments(2)
    for x, columns in zip(inputs, (slice(0, 3), slice(3, 8)), strict=True):
        var, mean = torch.var_mean(x.detach(), (2, 3), correction=0)
        moments[0, :, columns], moments[1, :, columns] = mean, var
    torch.testing.assert_close(table.loss(moments, 0, paper=paper), loss.detach())
    behind = table.loss(moments, 3, paper=paper)
    torch.testing.assert_close(behind, errors[1].detach() / 7)
    a, b = table.gradient_terms(moments, paper=paper)
    for x, expected, columns in zip(inputs, gradients, (slice(0, 3), slice(3, 8)), strict=True):
        found = a[:, columns, None, None] + b[:, columns, None, None] * x.detach()
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_a_constant_channel_gets_no_gradient_from_its_deviation(table):
    moments = table.new_moments(1)
    moments[0], moments[1] = 0.5, 0.0
    terms = table.gradient_terms(moments, paper=True)
    assert torch.isfinite(terms).all()
    assert (terms[1] == 0).all()
