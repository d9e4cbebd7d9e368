"""Convolutions of 8-bit integers: layers, whole networks, their ranges, and who refuses them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fiqa_fast.backbones.checkpoint_metadata import describe
from fiqa_fast.backbones.checkpoints import load_checkpoint, tensors_to_write
from fiqa_fast.backbones.layers.heads import recognise_head
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError, UnavailableError, WeightsError
from fiqa_fast.fused import onednn
from fiqa_fast.fused.activation_ranges import measure_ranges
from fiqa_fast.fused.batch_norm import FusedBatchNorm
from fiqa_fast.fused.forward_pass import FusedForwardPass
from fiqa_fast.fused.network import fused_network
from fiqa_fast.fused.quantisation import (
    QuantisedConvolution,
    input_steps,
    integer_weights,
    quantised_layers,
)
from fiqa_fast.ranks import correlate_ranks
from fiqa_fast.scorers.registry import create_scorer, list_scorers
from fiqa_fast.weights import safetensors_file

needs_int8 = pytest.mark.skipif(not onednn.multiplies_int8(), reason="no VNNI, or no oneDNN")


def _conv(c_in, c_out, kernel, stride, seed=0):
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
    generator = torch.Generator().manual_seed(seed)
    conv.weight = nn.Parameter(torch.randn(conv.weight.shape, generator=generator))
    return conv.requires_grad_(False)


def _activation(shape, seed=1):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()
    return x.contiguous(memory_format=torch.channels_last)


def _reference(q, weight, steps, conv):
    """In float64 from the very integers; padding stands for 0."""
    sums = F.conv2d(q.double() - 128, weight.double(), None, conv.stride, conv.padding)
    return (sums.float() * steps[:, None, None]).bfloat16()


SHAPES = [
    (32, 64, 1, 1, (8, 8)),
    (64, 64, 3, 1, (14, 14)),
    (64, 64, 3, 2, (14, 14)),
    (40, 72, 3, 1, (9, 7)),
    (64, 128, 3, 2, (5, 6)),
    (128, 256, 1, 1, (7, 7)),
    (256, 64, 3, 1, (1, 1)),
    (512, 512, 3, 1, (7, 7)),
]


@needs_int8
@pytest.mark.parametrize(("c_in", "c_out", "kernel", "stride", "size"), SHAPES)
def test_sums_are_exact_up_to_the_border(c_in, c_out, kernel, stride, size):
    """To the bit, with the largest integers, and whatever the number of images."""
    conv = _conv(c_in, c_out, kernel, stride)
    generator = torch.Generator().manual_seed(2)
    weight = torch.randint(-127, 128, conv.weight.shape, generator=generator).to(torch.int8)
    weight[0], weight[1] = 127, -127
    steps = torch.rand(c_out, generator=generator) * 1e-3
    q = torch.randint(0, 256, (4, c_in, *size), generator=generator).to(torch.uint8)
    q[1], q[2] = 0, 255
    q = q.contiguous(memory_format=torch.channels_last)
    packed = onednn.PackedInt8Convolution(weight, steps, 128, stride, kernel // 2, size)
    y = packed(q)
    assert y.dtype == torch.bfloat16
    assert y.is_contiguous(memory_format=torch.channels_last)
    expected = _reference(q, weight, steps, conv)
    if torch.cpu._is_amx_tile_supported():
        # AMX kernels add the zero point's share, 128 times the sum of the weights, in float32.
        share = 128 * weight.double().sum((1, 2, 3)).abs() * steps
        error = (y.double() - expected.double()).abs()
        last_bit = share[:, None, None] * 2.0**-23 + expected.double().abs() * 2.0**-8
        assert (error <= last_bit * (share > 2**24 * steps)[:, None, None]).all()
    else:
        assert torch.equal(y, expected)
    for images in (1, 3):
        assert torch.equal(packed(q[:images]), y[:images])


@needs_int8
@pytest.mark.parametrize("with_slope", [False, True])
@pytest.mark.parametrize("with_bn", [False, True])
def test_what_stands_in_front_of_a_convolution(with_bn, with_slope):
    conv, x = _conv(32, 48, 3, 1), _activation((2, 32, 9, 7))
    bn, slope = None, None
    expected = x.float()
    if with_bn:
        layer = nn.BatchNorm2d(32).eval().requires_grad_(False)
        layer.running_mean = torch.linspace(-1, 1, 32)
        layer.running_var = torch.linspace(0.5, 2, 32)
        layer.weight[3] = -0.7
        bn, expected = FusedBatchNorm(layer, torch.float32, 0), layer(expected)
    if with_slope:
        slope = torch.linspace(-0.1, 0.4, 32)
        expected = F.prelu(expected, slope)
    largest = expected.abs().amax((0, 2, 3))
    quantised = QuantisedConvolution(conv, (9, 7), largest, bn, slope)
    y = quantised(x)
    step = input_steps(largest)
    q = (expected / step[:, None, None] + 128).round().clamp(0, 255)
    assert (q - 128).abs().amax() == 102  # a fifth is left for other faces
    weight, steps = integer_weights(conv.weight, step)
    exact = _reference(q, weight, steps, conv).float()
    # Scales are multiplied in another order, which moves integers by 1 that lie between two.
    moved = 4 * 127 * steps[:, None, None]
    assert ((y.float() - exact).abs() < 0.008 * exact.abs() + moved).all()
    error = (y.float() - F.conv2d(expected, conv.weight, None, 1, 1)).abs().max()
    assert error < 0.02 * exact.abs().max()
    total = torch.ones_like(y)
    quantised.onto(total, x)
    assert torch.equal(total, torch.ones_like(y) + y)


@needs_int8
def test_beyond_the_range_is_cut_off_and_nan_is_nothing():
    conv = _conv(32, 8, 1, 1)
    quantised = QuantisedConvolution(conv, (2, 2), torch.full((32,), 2.0))
    x = torch.full((1, 32, 2, 2), 2.5).bfloat16().contiguous(memory_format=torch.channels_last)
    at_bound = quantised(x)
    assert torch.equal(quantised(3 * x), at_bound)
    assert torch.equal(quantised(x * torch.inf), at_bound)
    assert not quantised(x * torch.nan).any()
    weight, steps = integer_weights(conv.weight, input_steps(torch.full((32,), 2.0)))
    lowest = weight.double().sum((1, 2, 3)) * -128 * steps.double()
    torch.testing.assert_close(
        quantised(-3 * x)[0, :, 0, 0].double(), lowest, rtol=0.004, atol=1e-6
    )


@needs_int8
@pytest.mark.parametrize("smallest", [0.0, 1e-30, 1e-38])
def test_empty_channels_add_nothing(smallest):
    conv, x = _conv(32, 8, 3, 1), _activation((1, 32, 5, 5))
    largest = torch.full((32,), 4.0)
    largest[5] = smallest
    y = QuantisedConvolution(conv, (5, 5), largest)(x)
    assert y.isfinite().all()
    without = x.clone()
    without[:, 5] = 0
    assert torch.equal(QuantisedConvolution(conv, (5, 5), largest)(without), y)
    assert not QuantisedConvolution(conv, (5, 5), torch.zeros(32))(x).any()
    conv.weight[2] = 0
    y = QuantisedConvolution(conv, (5, 5), largest)(x)
    assert y.isfinite().all()
    assert not y[:, 2].any()


# ---- whole networks


@pytest.fixture(scope="module")
def ranges(sface32, recipe_backbone, crops):
    networks = {"sface": sface32, "iresnet18": recipe_backbone("iresnet18")}
    return {name: measure_ranges(network, crops[::5]) for name, network in networks.items()}


@pytest.fixture(scope="module", params=["sface", "iresnet18"])
def network(request, recipe_backbone, ranges):
    name = request.param
    if name == "sface":
        network = load_backbone("sface", precision="int8", device="cpu")
    else:
        network = recipe_backbone(name, "int8")
    network.activation_ranges = ranges[name]
    return network


@pytest.fixture(scope="module")
def float_network(network, sface32, recipe_backbone):
    return sface32 if network.spec.name == "sface" else recipe_backbone(network.spec.name)


def test_which_convolutions_have_integers(network):
    names = list(quantised_layers(network))
    if network.spec.name == "sface":
        assert names == [f"conv_{i}.conv" for i in range(2, 15)]
    else:
        assert names[:2] == ["layer1.0.conv1", "layer1.0.conv2"]
        assert len(names) == 16
        assert not any("downsample" in name for name in names)


def test_ranges_are_those_of_the_layers_inputs(network, float_network, crops):
    seen = {}

    def note(name):
        def hook(conv, inputs):
            now = inputs[0].abs().amax((0, 2, 3))
            seen[name] = torch.maximum(seen[name], now) if name in seen else now

        return hook

    hooks = [
        conv.register_forward_pre_hook(note(name))
        for name, conv in quantised_layers(float_network).items()
    ]
    with torch.no_grad():
        for crop in crops[::5]:
            batch = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None]
            float_network(float_network.normalise(batch))
    for hook in hooks:
        hook.remove()
    ranges = network.activation_ranges
    assert ranges.largest.keys() == seen.keys()
    for name, largest in ranges.largest.items():
        assert largest.dtype == torch.float32
        torch.testing.assert_close(largest, seen[name], rtol=1e-4, atol=1e-5)
    assert ranges.origin.startswith("measured over 4 crops, digest ")


def test_ranges_do_not_depend_on_the_order_of_crops(sface32, crops):
    forward, back = measure_ranges(sface32, crops[:2]), measure_ranges(sface32, crops[1::-1])
    assert forward.origin == back.origin
    for name, largest in forward.largest.items():
        assert torch.equal(back.largest[name], largest)


@needs_int8
def test_scores_keep_their_order(network, float_network, crops):
    methods, options = ["embedding-norm", "froq", "ser-fiq"], {"ser-fiq": {"T": 10}}
    int8, exact = (create_scorer(methods, backbone=n, **options) for n in (network, float_network))
    assert {scorer.engine for scorer in int8.scorers} == {"torch"}
    scores, expected = int8.score(crops[:9]), exact.score(crops[:9])
    for method in methods:
        of_method, as_it_should_be = scores[method], expected[method]
        assert of_method.dtype == torch.float32
        ranks = correlate_ranks(of_method.double().numpy(), as_it_should_be.double().numpy())
        assert ranks > 0.95
        assert ((of_method / as_it_should_be - 1).abs() < 0.05).all()


@needs_int8
def test_learned_heads(recipe_backbone, ranges, crops):
    with torch.device("meta"):
        tensors = {"qs.weight": torch.ones(1, 512), "qs.bias": torch.ones(1)}
        heads = [recognise_head(tensors, "iresnet18") for _ in range(2)]
    networks = [
        recipe_backbone("iresnet18", p, head=h)
        for p, h in zip(("float32", "int8"), heads, strict=True)
    ]
    networks[1].activation_ranges = ranges["iresnet18"]
    expected, scores = (create_scorer("cr-fiqa", backbone=n).score(crops[:2]) for n in networks)
    torch.testing.assert_close(scores, expected, rtol=0.02, atol=0.02)


@needs_int8
def test_embeddings_do_not_depend_on_the_batch(network, crops):
    x = torch.from_numpy(crops[:4]).permute(0, 3, 1, 2).contiguous()
    whole = FusedForwardPass(network, x)
    for images in (1, 3):
        part = FusedForwardPass(network, x[:images])
        assert torch.equal(part.embedding, whole.embedding[:images])
        for a, b in zip(part.activations, whole.activations, strict=True):
            assert a.dtype == torch.bfloat16
            assert torch.equal(a, b[:images])
    assert torch.equal(FusedForwardPass(network, x[2:3]).embedding, whole.embedding[2:3])


@needs_int8
def test_no_way_back(network):
    x = torch.zeros(1, 3, 112, 112)
    fused = fused_network(network)
    assert fused.run(x).outputs[-1].dtype == torch.bfloat16
    with pytest.raises(NotImplementedError, match="no way back"):
        fused.run(x, keep_from=0)


# ---- files


@pytest.fixture
def written(network, tmp_path):
    path = tmp_path / "network.safetensors"
    safetensors_file.write(path, tensors_to_write(network), describe(network))
    return path


@needs_int8
def test_ranges_travel_in_the_file(network, written, crops):
    again = load_backbone(weights=written, precision="int8", device="cpu")
    assert again.activation_ranges.origin == network.activation_ranges.origin
    for name, largest in network.activation_ranges.largest.items():
        assert torch.equal(again.activation_ranges.largest[name], largest)
    scores = [
        create_scorer("embedding-norm", backbone=n).score(crops[:2]) for n in (network, again)
    ]
    assert torch.equal(*scores)


def test_a_file_with_ranges_is_the_same_network(float_network, written, crops):
    again = load_backbone(weights=written, precision="float32", device="cpu")
    assert again.state_dict().keys() == float_network.state_dict().keys()
    norms = [
        create_scorer("embedding-norm", backbone=n).score(crops[:1]) for n in (float_network, again)
    ]
    assert torch.equal(*norms)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("conv_2.conv", torch.ones(33), r"a range of \[33\] torch.float32 for the 32 input chan"),
        ("conv_2.conv", torch.ones(32).int(), r"a range of \[32\] torch.int32 for the 32 input"),
        ("conv_2.conv", torch.full((32,), torch.nan), "a range of conv_2.conv that is negative or"),
        ("conv_2.conv", torch.full((32,), -1.0), "a range of conv_2.conv that is negative or not"),
        ("conv_99.conv", torch.ones(32), "a range for conv_99.conv, which is no convolution"),
        ("conv_2.bn", torch.ones(32), "a range for conv_2.bn, which is no convolution"),
    ],
)
def test_ranges_of_something_else_are_refused(sface32, ranges, tmp_path, name, value, message):
    path = tmp_path / "sface.safetensors"
    tensors = tensors_to_write(sface32) | {f"activation_range.{name}": value}
    safetensors_file.write(path, tensors, describe(sface32))
    with pytest.raises(WeightsError, match=f"{message}.*calibrate-int8"):
        load_checkpoint(path)


# ---- refusals


def _int8_sface(ranges=None):
    network = load_backbone("sface", precision="int8", device="cpu")
    network.activation_ranges = ranges
    return network


@needs_int8
def test_without_ranges(ranges):
    with pytest.raises(InvalidArgumentError, match=r"int8, got none; measure them with `fiqa-fast"):
        create_scorer("embedding-norm", precision="int8", device="cpu")
    complete = ranges["sface"]
    fewer = {n: t for n, t in complete.largest.items() if n != "conv_3.conv"}
    network = _int8_sface(replace(complete, largest=fewer))
    with pytest.raises(InvalidArgumentError, match=r"got none for conv_3\.conv; measure"):
        create_scorer("froq", backbone=network)


def test_which_methods_take_int8(ranges):
    network = _int8_sface(ranges["sface"])
    methods = {spec.name for spec in list_scorers() if "int8" in spec.precisions}
    assert methods == {
        "embedding-norm", "froq", "ser-fiq", "cr-fiqa", "magface", "ediffiqa", "diffiqa-r",
        "label-regressor",
    }  # fmt: skip
    for method in ("grafiqs", "faceqan"):
        with pytest.raises(InvalidArgumentError, match=r"to be one of float32, .* got 'int8'"):
            create_scorer(method, backbone=network)


@needs_int8
def test_engines_networks_and_devices(ranges, recipe_backbone, monkeypatch):
    network = _int8_sface(ranges["sface"])
    with pytest.raises(UnavailableError, match="int8, got reference for sface; leave the engine"):
        create_scorer("embedding-norm", backbone=network, engine="reference")
    other = recipe_backbone("mobilefacenet", "int8")
    with pytest.raises(UnavailableError, match="Bottleneck; use another precision"):
        create_scorer("embedding-norm", backbone=other)
    with pytest.raises(UnavailableError, match="got meta; int8 on a GPU comes with engines"):
        create_scorer("embedding-norm", backbone=_int8_sface().to("meta"))
    monkeypatch.setattr(onednn, "multiplies_int8", lambda: False)
    with pytest.raises(UnavailableError, match=r"VNNI.*got one without; use another precision"):
        create_scorer("embedding-norm", backbone=network)


def test_measuring_says_what_is_wrong(sface32, recipe_backbone, crops):
    with pytest.raises(InvalidArgumentError, match="at least 1 crop, got none"):
        measure_ranges(sface32, [])
    with pytest.raises(InvalidArgumentError, match="activation ranges: expected crops of 112x112"):
        measure_ranges(sface32, [np.zeros((100, 112, 3), np.uint8)])
    with pytest.raises(InvalidArgumentError, match="float32 or float64, got sface in int8"):
        measure_ranges(_int8_sface(), crops[:1])
    with pytest.raises(InvalidArgumentError, match=r"got mobilefacenet: .*Bottleneck; use another"):
        measure_ranges(recipe_backbone("mobilefacenet"), crops[:1])


def test_a_network_in_int8_keeps_its_weights(sface32):
    network = _int8_sface()
    assert network.dtype == torch.bfloat16
    for name, tensor in sface32.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor)
