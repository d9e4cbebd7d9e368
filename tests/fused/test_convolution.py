"""Prepared convolutions and their input gradients against torch's, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fiqa_fast.fused.convolution import convolution, input_gradient, is_plain, output_size

LAYERS = {
    "3x3": nn.Conv2d(16, 24, 3, 1, 1, bias=False),
    "3x3, stride 2": nn.Conv2d(16, 24, 3, 2, 1, bias=False),
    "1x1": nn.Conv2d(16, 24, 1, bias=False),
    "1x1, stride 2": nn.Conv2d(16, 24, 1, 2, bias=False),
    "depthwise": nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False),
    "depthwise, stride 2": nn.Conv2d(16, 16, 3, 2, 1, groups=16, bias=False),
    "groups": nn.Conv2d(16, 24, 3, 1, 1, groups=4, bias=False),
}
# Of the largest value: rounding of operands and results to the storage.
TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def _assert_near(actual, expected, dtype):
    error = (actual.double() - expected).abs().max() / expected.abs().max()
    assert error < TOLERANCE[dtype]


@pytest.fixture(params=LAYERS)
def layer(request):
    return LAYERS[request.param].requires_grad_(False)


@pytest.fixture(params=TOLERANCE, ids=str)
def dtype(request):
    return request.param


def _scales(layer):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.rand(layer.in_channels, generator=generator, dtype=torch.float64) + 0.5,
        torch.randn(layer.out_channels, generator=generator, dtype=torch.float64),
    )


@pytest.mark.parametrize("images", [1, 2, 3])
@pytest.mark.parametrize("size", [(14, 14), (7, 7), (9, 12)])
def test_forward_and_back(layer, dtype, size, images):
    if layer.stride != (1, 1):
        size = (size[0], size[0])  # networks halve squares only
    scale_in, scale_out = _scales(layer)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, layer.in_channels, *size, generator=generator, dtype=torch.float64)
    x = x.requires_grad_()
    expected = F.conv2d(
        x * scale_in[:, None, None], layer.weight.double(), None, layer.stride, layer.padding,
        groups=layer.groups,
    ) * scale_out[:, None, None]  # fmt: skip
    assert expected.shape[2:] == output_size(layer, size)
    grad = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    (expected_back,) = torch.autograd.grad(expected, x, grad)
    x, expected = x.detach(), expected.detach()

    def stored(t):
        return t.to(dtype).contiguous(memory_format=torch.channels_last)

    forward = convolution(layer, size, dtype, scale_in, scale_out)
    y = forward(stored(x))
    assert y.is_contiguous(memory_format=torch.channels_last)
    _assert_near(y, expected, dtype)
    back = input_gradient(layer, size, dtype, scale_in, scale_out)
    found = back(stored(grad))
    assert found.shape == x.shape
    _assert_near(found, expected_back, dtype)

    total, total_back = stored(torch.ones_like(expected)), stored(torch.ones_like(x))
    forward.onto(total, stored(x))
    back.onto(total_back, stored(grad))
    _assert_near(total, expected + 1, dtype)
    _assert_near(total_back, expected_back + 1, dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_an_image_does_not_see_the_others(layer, dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, layer.in_channels, 14, 14, generator=generator).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    forward = convolution(layer, (14, 14), dtype)
    whole = forward(x)
    for images in (2, 3, 8) if dtype == torch.float32 else (1, 2, 3):
        part = x[:images].contiguous(memory_format=torch.channels_last)
        assert torch.equal(forward(part), whole[:images])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, dilation=2, bias=False),
        nn.Conv2d(4, 4, (3, 1), bias=False),
        nn.Conv2d(4, 4, 3, padding="same", bias=False),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", bias=False),
    ],
    ids=["bias", "dilation", "not square", "named padding", "reflected"],
)
def test_other_layers_are_told(layer):
    assert not is_plain(layer)


def test_those_of_networks_are_plain():
    assert all(is_plain(layer) for layer in LAYERS.values())
