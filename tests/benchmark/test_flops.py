import pytest
import torch

from fiqa_fast.benchmark.flops import (
    TAPS,
    NetworkFlops,
    count_methods,
    count_network,
    faceqan_passes,
)
from fiqa_fast.benchmark.recipe_weights import skeleton
from fiqa_fast.errors import InvalidArgumentError

NETWORK = NetworkFlops((1.0, 10.0, 100.0, 1000.0, 0.0), 0.5)


@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    [
        ("iresnet50", 12.6, [12.6, 10.4, 8.4, 1.6, 0.0]),
        ("iresnet100", 24.2, [24.2, 22.0, 15.8, 1.6, 0.0]),
    ],
)
def test_counts_of_the_papers_networks(name, forward, backward):
    """GFLOP known of the official code's networks, to one digit behind the point."""
    flops = count_network(skeleton(name))
    assert flops.trunk / 1e9 == pytest.approx(forward, abs=0.06)
    assert [flops.gradient(tap) / 1e9 for tap in TAPS] == pytest.approx(backward, abs=0.06)
    assert flops.embed == 2 * 25088 * 512


def test_depthwise_convolutions_cost_their_own_channel_only():
    flops = count_network(skeleton("sface"))
    area = 112 * 112
    # conv_1: 3x3 from 3 to 32; conv_2_dw: 3x3 on each of 32; conv_2: 1x1 from 32 to 64
    assert flops.stages[0] == 2 * area * (9 * 3 * 32 + 9 * 32 + 32 * 64)
    assert flops.gradient("b4") == flops.stages[4] > 0


def test_the_network_stays_on_its_device(sface32):
    x = torch.zeros(1, 3, 112, 112)
    before = sface32(x)
    count_network(sface32)
    assert torch.equal(sface32(x), before)
    assert not any(m._forward_hooks for m in sface32.modules())


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("mse_bns", 1111),
        ("b4", 1111),
        ("b3", 1111 + 1000),
        ("b2", 1111 + 1100),
        ("b1", 1111 + 1110),
        ("image", 2 * 1111),
    ],
)
def test_grafiqs(output, expected):
    assert count_methods(NETWORK, {"grafiqs": {}}, grafiqs_outputs=[output]) == expected


def test_grafiqs_with_all_outputs_goes_down_to_the_image():
    assert count_methods(NETWORK, {"grafiqs": {}}) == 2 * 1111


@pytest.mark.parametrize(
    ("options", "variant", "forwards", "backwards"),
    [
        ({}, "official", 52, 40),
        ({"k": 2, "l": 3}, "official", 8, 4),
        ({}, "paper", 62, 50),
    ],
)
def test_faceqan(options, variant, forwards, backwards):
    assert faceqan_passes(options.get("k", 10), options.get("l", 5), variant=variant) == (
        forwards,
        backwards,
    )
    expected = (forwards + backwards) * 1111.5
    assert count_methods(NETWORK, {"faceqan": options}, variant=variant) == expected


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ({"embedding-norm": {}}, 1111.5),
        ({"ser-fiq": {}}, 1111 + 50),
        ({"ser-fiq": {"T": 4}}, 1111 + 2),
        # one trunk for both
        ({"grafiqs": {}, "ser-fiq": {}}, 1111 + 1111 + 50),
        # FaceQAN sends other images
        ({"faceqan": {}, "embedding-norm": {}}, 92 * 1111.5 + 1111.5),
    ],
)
def test_other_methods(methods, expected):
    assert count_methods(NETWORK, methods) == expected


def test_a_method_that_cannot_be_counted():
    with pytest.raises(InvalidArgumentError, match=r"expected scorer .*, got 'brisque'"):
        count_methods(NETWORK, {"brisque": {}})
