import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fiqa_fast.backbones.families import ir
from fiqa_fast.backbones.layers.heads import SddFiqaHead
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.sdd_fiqa import SddFiqa
from fiqa_fast.scorers.ser_fiq import SerFiq


@pytest.fixture(scope="module")
def released(recipe_state_dict):
    """A state_dict as SDD-FIQA releases it: through DataParallel, the head beside the body."""
    with torch.device("meta"):
        network = ir.skeleton("sdd-ir50")
        tensors = dict(network.state_dict()) | SddFiqaHead(25088).state_dict()
    state = recipe_state_dict({name: tensor.shape for name, tensor in tensors.items()})
    # The recipe's slopes are all the same, which would hide a wrong order of the features.
    slopes = np.random.default_rng(1).uniform(-0.5, 0.5, 25088)
    state["quality.1.weight"] = torch.from_numpy(slopes).float()
    return {f"module.{name}": tensor for name, tensor in state.items()}


@pytest.fixture(scope="module")
def sdd64(released, tmp_path_factory):
    path = tmp_path_factory.mktemp("sdd") / "SDD_FIQA_checkpoints_r50.pth"
    torch.save(released, path)
    network = load_backbone(weights=path, precision="float64", device="cpu")
    path.unlink()
    return network


def _twin(released, crop):
    """The published layers in plain functional calls, float64."""
    state = {name.removeprefix("module."): t.double() for name, t in released.items()}

    def batch_norm(y, name):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(y, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    x = torch.from_numpy(crop.astype(np.float64)).permute(2, 0, 1)[None]
    x = (x / 255 - 0.5) / 0.5
    x = batch_norm(F.conv2d(x, state["input_layer.0.weight"], padding=1), "input_layer.1")
    x = F.prelu(x, state["input_layer.2.weight"])
    for i in range(24):
        stride = 2 if i in (0, 3, 7, 21) else 1
        body, skip = f"body.{i}.res_layer", f"body.{i}.shortcut_layer"
        if i in (3, 7, 21):
            shortcut = F.conv2d(x, state[f"{skip}.0.weight"], stride=stride)
            shortcut = batch_norm(shortcut, f"{skip}.1")
        else:
            shortcut = F.max_pool2d(x, 1, stride)
        y = F.conv2d(batch_norm(x, f"{body}.0"), state[f"{body}.1.weight"], padding=1)
        y = F.prelu(y, state[f"{body}.2.weight"])
        y = F.conv2d(y, state[f"{body}.3.weight"], stride=stride, padding=1)
        x = batch_norm(y, f"{body}.4") + shortcut
    features = x.reshape(-1)
    features = torch.where(features >= 0, features, features * state["quality.1.weight"])
    return float(features @ state["quality.3.weight"][0] + state["quality.3.bias"][0])


def test_released_file_is_recognised(sdd64):
    assert sdd64.spec.name == "sdd-ir50"
    assert sdd64.head.kind == "sdd-fiqa"


def test_scores_equal_the_twin(sdd64, released, crops):
    chosen = crops[[0, 9]]
    scores = SddFiqa(sdd64).score(chosen)
    expected = [_twin(released, crop) for crop in chosen]
    assert scores.dtype == torch.float64
    assert abs(expected[0] - expected[1]) > 1e-3
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-10)


def test_another_network_is_refused(sface32):
    with pytest.raises(InvalidArgumentError, match=r"sdd-fiqa.*got sface with no quality head"):
        SddFiqa(sface32)


def test_methods_that_need_an_embedding_refuse_the_network(sdd64):
    with pytest.raises(InvalidArgumentError, match="expected a network that gives an embedding"):
        SerFiq(sdd64)
