import hashlib
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from fiqa_fast.backbones.batch_norm_statistics import estimate_statistics, replace_statistics
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.registry import create_scorer


def _embed(network, crops):
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2)
    with torch.no_grad():
        return network(network.normalise(pixels))


@pytest.fixture(scope="module")
def few_crops(crops):
    return crops[::6]


@pytest.fixture(scope="module")
def sface64_statistics(sface64, few_crops):
    return estimate_statistics(sface64, few_crops)


def test_statistics_are_those_of_all_crops_at_once(sface64, few_crops, sface64_statistics):
    inputs = {}
    handles = [
        bn.register_forward_pre_hook(lambda bn, args: inputs.__setitem__(bn, args[0]))
        for bn in sface64.batch_norms
    ]
    _embed(sface64, few_crops)
    for handle in handles:
        handle.remove()
    for bn, mean, var in zip(
        sface64.batch_norms, sface64_statistics.means, sface64_statistics.variances, strict=True
    ):
        x = inputs[bn].numpy()
        np.testing.assert_allclose(mean, x.mean((0, 2, 3)), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(var, x.var((0, 2, 3)), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_the_network_computes_what_it_did(precision, tolerance, few_crops, sface64_statistics):
    network = load_backbone("sface", precision=precision, device="cpu")
    before, first = _embed(network, few_crops), deepcopy(network.batch_norms[0])
    replace_statistics(network, sface64_statistics)
    after = _embed(network, few_crops)
    assert (after - before).abs().max() <= tolerance * before.abs().max()
    for bn, mean, var in zip(
        network.batch_norms, sface64_statistics.means, sface64_statistics.variances, strict=True
    ):
        torch.testing.assert_close(bn.running_mean.double(), mean, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(bn.running_var.double(), var, rtol=1e-6, atol=0)
    changed = network.batch_norms[0]
    assert not torch.allclose(changed.running_var, first.running_var, rtol=1e-3)
    assert changed.running_mean.dtype == first.running_mean.dtype
    assert not changed.weight.requires_grad


def test_estimating_again_finds_the_new_statistics(few_crops, sface64_statistics):
    network = load_backbone("sface", precision="float64", device="cpu")
    replace_statistics(network, sface64_statistics)
    again = estimate_statistics(network, few_crops)
    for old, new in zip(sface64_statistics.variances, again.variances, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-9, atol=1e-14)


def test_the_words_name_number_and_digest_whatever_the_order(sface32, few_crops):
    digests = sorted(hashlib.sha256(crop.tobytes()).digest() for crop in few_crops)
    expected = hashlib.sha256(b"".join(digests)).hexdigest()
    statistics = estimate_statistics(sface32, iter(few_crops[::-1]))
    assert statistics.crops_sha256 == expected
    assert str(statistics) == f"re-estimated over 3 crops, digest {expected[:8]}"


def test_constant_channels_keep_their_map(few_crops):
    network = load_backbone("sface", device="cpu")
    first = network.batch_norms[0]
    with torch.no_grad():
        network.conv_1.conv.weight[3] = 0  # this channel is 0 everywhere
    statistics = estimate_statistics(network, few_crops)
    assert statistics.variances[0][3] == 0
    before = _embed(network, few_crops)
    replace_statistics(network, statistics)
    assert first.running_var[3] == 0
    after = _embed(network, few_crops)
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()
    for variant in ("official", "paper"):
        scores = create_scorer("grafiqs", backbone=network, variant=variant).score_all(
            few_crops[:1]
        )
        assert all(score.isfinite().all() for score in scores.values())


def test_grafiqs_runs_on_a_network_that_had_no_statistics(few_crops):
    network = load_backbone("sface", device="cpu")
    for bn in network.batch_norms:  # folded into an affine map, as folded networks are stored
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        bn.bias = nn.Parameter(bn.bias - bn.running_mean * scale, requires_grad=False)
        bn.weight = nn.Parameter(scale, requires_grad=False)
        bn.running_mean, bn.running_var = (
            torch.zeros_like(scale),
            torch.full_like(scale, 1 - bn.eps),
        )
    network.bn_statistics = "none"
    with pytest.raises(InvalidArgumentError, match="calibrate-bn"):
        create_scorer("grafiqs", backbone=network)
    statistics = estimate_statistics(network, few_crops)
    replace_statistics(network, statistics)
    assert network.bn_statistics == str(statistics)
    folded = create_scorer("grafiqs", backbone=network).score(few_crops)

    reference = load_backbone("sface", device="cpu")
    replace_statistics(reference, estimate_statistics(reference, few_crops))
    expected = create_scorer("grafiqs", backbone=reference).score(few_crops)
    torch.testing.assert_close(folded, expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_crops(sface32, few_crops, count):
    with pytest.raises(InvalidArgumentError, match=f"at least 2 crops, got {count}"):
        estimate_statistics(sface32, few_crops[:count])


@pytest.mark.parametrize("wrong", [np.zeros((64, 64, 3), np.uint8), np.zeros((112, 112, 3))])
def test_other_pixels_are_refused(sface32, wrong):
    with pytest.raises(InvalidArgumentError, match="batch norm statistics: expected"):
        estimate_statistics(sface32, [wrong])


def test_a_network_without_batch_norm_has_nothing_to_estimate(crops):
    with pytest.raises(InvalidArgumentError, match="got none, which has none"):
        estimate_statistics(load_backbone("none"), crops)
