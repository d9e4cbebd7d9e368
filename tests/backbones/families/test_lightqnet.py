import re

import pytest
import torch

from fiqa_fast.backbones.checkpoints import load_checkpoint, official_state_dict
from fiqa_fast.backbones.families import lightqnet
from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.weights import safetensors_file
from fiqa_fast.weights.file import read_weights

NAMES = [spec.name for spec in lightqnet.SPECS]


@pytest.fixture(scope="module")
def released(golden_dir):
    return {name: golden_dir / "lightqnet" / f"{name}.pb" for name in NAMES}


@pytest.fixture(scope="module")
def smallest(released):
    return load_checkpoint(released["lightqnet-dm025"]).prepare(torch.device("cpu"), "float32")


@pytest.mark.parametrize("name", NAMES)
def test_the_width_is_recognised_and_every_number_used(released, name):
    network = load_checkpoint(released[name])
    assert network.spec.name == name
    own = sum(t.numel() for t in official_state_dict(network).values() if t.is_floating_point())
    assert own == sum(t.numel() for t in read_weights(released[name]).tensors.values())
    assert network.bn_statistics == "training"
    assert len(network.batch_norms) == 34


@pytest.mark.parametrize("name", NAMES)
def test_taps_stand_in_front_of_each_halving(released, name):
    network = load_checkpoint(released[name])
    x = torch.zeros(1, 3, 96, 96)
    for tap, stage in zip((*network.spec.taps.values(), "features"), network.stages, strict=True):
        x = stage(x)
        if tap != "features":
            channels, rows, columns = map(int, re.findall(r"(\d+) channels of (\d+)x(\d+)", tap)[0])
            assert x.shape[1:] == (channels, rows, columns)
    assert x.shape == (1, network.head.size, 1, 1)


def test_the_observer_sees_every_batch_norm_once_in_order(smallest):
    seen = []
    smallest.trunk(torch.zeros(2, 3, 96, 96), lambda bn, x: seen.append((bn, x.shape[1])))
    assert {bn for bn, _ in seen} == set(smallest.batch_norms)
    assert len(seen) == len(smallest.batch_norms)
    assert all(bn.num_features == channels for bn, channels in seen)


def test_own_names_are_recognised(smallest, tmp_path):
    path = tmp_path / "converted.safetensors"
    safetensors_file.write(path, official_state_dict(smallest), {})
    again = load_checkpoint(path).prepare(torch.device("cpu"), "float32")
    assert again.spec.name == "lightqnet-dm025"
    images = torch.rand(1, 3, 96, 96)
    assert torch.equal(again.head(again.trunk(images)), smallest.head(smallest.trunk(images)))


def test_another_width_than_named_is_refused(released):
    with pytest.raises(WeightsError, match="which holds lightqnet-dm025"):
        load_checkpoint(released["lightqnet-dm025"], "lightqnet-dm100")


def test_a_missing_tensor_is_named(smallest, tmp_path):
    tensors = official_state_dict(smallest)
    del tensors["units.3.depthwise.bn.running_var"]
    path = tmp_path / "incomplete.safetensors"
    safetensors_file.write(path, tensors, {})
    with pytest.raises(WeightsError, match=r"1 missing: units\.3\.depthwise\.bn\.running_var"):
        load_checkpoint(path)


def test_it_has_no_embedding(smallest):
    assert smallest.spec.embedding_size == 0
    with pytest.raises(InvalidArgumentError, match="choose a recognition network"):
        smallest(torch.zeros(1, 3, 96, 96))
