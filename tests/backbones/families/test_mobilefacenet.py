import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fiqa_fast.backbones.families import mobilefacenet
from fiqa_fast.backbones.layers.heads import EDifFiqaHead
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import WeightsError

# Units of the smallest network in the order of the pass: name, strides of their convolutions, and
# how often a bottleneck repeats.
BOTTLENECKS = [
    ("conv_23", 2, 0), ("conv_3", 1, 4), ("conv_34", 2, 0), ("conv_4", 1, 6), ("conv_45", 2, 0),
    ("conv_5", 1, 2),
]  # fmt: skip


def _twin(state, x):
    """The published layers in plain functional calls, float64: features and embedding."""
    state = {name: tensor.double() for name, tensor in state.items()}

    def batch_norm(y, name):
        mean, var, weight, bias = (
            state[f"{name}.{v}"] for v in ("running_mean", "running_var", "weight", "bias")
        )
        shape = (1, -1) + (1,) * (y.dim() - 2)
        scale = weight / (var + 1e-5).sqrt()
        return y * scale.reshape(shape) + (bias - mean * scale).reshape(shape)

    def unit(y, name, stride=1, padding=0, groups=1):
        y = F.conv2d(y, state[f"{name}.conv.weight"], None, stride, padding, groups=groups)
        y = batch_norm(y, f"{name}.bn")
        slope = state.get(f"{name}.prelu.weight")
        return y if slope is None else torch.where(y > 0, y, y * slope.reshape(1, -1, 1, 1))

    def bottleneck(y, name, stride):
        y = unit(y, f"{name}.conv")
        y = unit(y, f"{name}.conv_dw", stride, 1, groups=y.shape[1])
        return unit(y, f"{name}.project")

    x = unit(unit(x, "conv1", 2, 1), "conv2_dw", 1, 1, groups=64)
    for name, stride, repeats in BOTTLENECKS:
        for i in range(repeats):
            x = x + bottleneck(x, f"{name}.model.{i}", stride)
        if not repeats:
            x = bottleneck(x, name, stride)
    x = unit(unit(x, "conv_6_sep"), "conv_6_dw", groups=512).flatten(1)
    return x, batch_norm(x @ state["linear.weight"].T, "bn")


def _arcface_torch_names(name):
    """The names of arcface_torch, level by level."""
    first = ["conv1", "conv2_dw", "conv_23", "conv_3", "conv_34", "conv_4", "conv_45", "conv_5"]
    for i, unit in enumerate(first):
        name = name.replace(f"^{unit}.", f"^layers.{i}.")
    name = name.replace("^conv_2.", "^layers.1.").replace("^conv_6_sep.", "^conv_sep.")
    name = name.replace("^conv_6_dw.", "^features.layers.0.")
    name = name.replace("^linear.", "^features.layers.2.").replace("^bn.", "^features.layers.3.")
    name = name.replace(".model.", ".layers.")
    for i, layers in enumerate([["conv"], ["conv_dw", "bn"], ["project", "prelu"]]):
        for layer in layers:
            name = name.replace(f".{layer}.", f".layers.{i}.")
    return name.removeprefix("^").replace(".conv.", ".layers.0.")


def _shapes(name):
    with torch.device("meta"):
        return {n: t.shape for n, t in mobilefacenet.skeleton(name).state_dict().items()}


@pytest.fixture(scope="module")
def state(recipe_state_dict):
    return recipe_state_dict(_shapes("mobilefacenet"))


@pytest.fixture(scope="module")
def pixels(crops):
    return torch.from_numpy(crops[[0, 9]]).permute(0, 3, 1, 2)


def _saved(tmp_path, tensors):
    path = tmp_path / "weights.pth"
    torch.save(tensors, path)
    return path


def test_features_and_embedding_equal_the_twin(tmp_path, state, pixels):
    network = load_backbone(weights=_saved(tmp_path, state), precision="float64", device="cpu")
    assert network.spec.name == "mobilefacenet"
    x = network.normalise(pixels)
    features, embedding = _twin(state, (pixels.double() / 255 - 0.5) / 0.5)
    np.testing.assert_allclose(network.trunk(x), features, rtol=0, atol=1e-11)
    np.testing.assert_allclose(network(x), embedding, rtol=0, atol=1e-11)
    assert embedding.std() > 0.1


def test_bgr_is_chosen_by_name(tmp_path, state, pixels):
    path = _saved(tmp_path, state)
    network = load_backbone("mobilefacenet-bgr", weights=path, precision="float64", device="cpu")
    _, expected = _twin(state, (pixels.double().flip(1) - 127.5) / 127.5)
    np.testing.assert_allclose(network(network.normalise(pixels)), expected, rtol=0, atol=1e-11)


def test_arcface_torch_names_give_the_same_network(tmp_path, state, pixels):
    renamed = {_arcface_torch_names(f"^{name}"): tensor for name, tensor in state.items()}
    # Spelt out: what insightface's own file calls some of them.
    assert {
        "layers.0.layers.0.weight",
        "layers.1.layers.2.weight",
        "layers.2.layers.1.layers.0.weight",
        "layers.5.layers.3.layers.2.layers.1.running_var",
        "conv_sep.layers.1.bias",
        "features.layers.0.layers.1.running_mean",
        "features.layers.2.weight",
        "features.layers.3.running_mean",
    } <= renamed.keys()
    network = load_backbone(weights=_saved(tmp_path, renamed), precision="float64", device="cpu")
    _, expected = _twin(state, (pixels.double() - 127.5) / 127.5)
    np.testing.assert_allclose(network(network.normalise(pixels)), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "width", "blocks", "second"),
    [
        ("mobilefacenet-x2", 128, (4, 6, 2), {"layers.1.layers.0.weight": (128, 2, 3, 3)}),
        (
            "mobilefacenet-large",
            256,
            (8, 12, 4),
            {"layers.1.layers.1.layers.1.layers.0.weight": (128, 1, 3, 3)},
        ),
    ],
)
def test_sizes_of_arcface_torch_are_recognised(
    tmp_path, recipe_state_dict, pixels, name, width, blocks, second
):
    state = recipe_state_dict(_shapes(name))
    renamed = {_arcface_torch_names(f"^{name}"): tensor for name, tensor in state.items()}
    expected_shapes = second | {
        "layers.0.layers.0.weight": (width, 3, 3, 3),
        "layers.2.layers.0.layers.0.weight": (128, width, 1, 1),
        "layers.4.layers.2.layers.0.weight": (2 * width, 256, 1, 1),
        f"layers.7.layers.{blocks[2] - 1}.layers.2.layers.0.weight": (2 * width, 256, 1, 1),
        "conv_sep.layers.0.weight": (512, 2 * width, 1, 1),
        "features.layers.0.layers.0.weight": (512, 1, 7, 7),
    }
    assert expected_shapes == {n: tuple(renamed[n].shape) for n in expected_shapes}
    network = load_backbone(weights=_saved(tmp_path, renamed), device="cpu")
    assert network.spec.name == name
    assert [len(stage) for stage in network.stages[1:4]] == [
        blocks[0] + 1, blocks[1] + 1, blocks[2] + 2,
    ]  # fmt: skip
    assert network(network.normalise(pixels)).shape == (2, 512)


def test_taps_are_the_last_outputs_of_each_resolution(recipe_backbone):
    network = recipe_backbone("mobilefacenet")
    x = torch.zeros(1, 3, 112, 112)
    shapes = []
    for stage in network.stages:
        x = stage(x)
        shapes.append(list(x.shape[1:]))
    assert shapes == [[64, 56, 56], [64, 28, 28], [128, 14, 14], [512, 7, 7], [512, 1, 1]]


@pytest.mark.parametrize("name", mobilefacenet.SIZES)
def test_the_observer_sees_every_batch_norm_once_in_order(recipe_backbone, name):
    network = recipe_backbone(name)
    seen = []
    network.trunk(torch.zeros(1, 3, 112, 112), lambda bn, x: seen.append((bn, x.shape[1])))
    assert [bn for bn, _ in seen] == network.batch_norms
    assert all(bn.num_features == channels for bn, channels in seen)


def test_embedding_size_and_quality_head_are_recognised(tmp_path, recipe_state_dict):
    shapes = {f"base_model.{n}": s for n, s in _shapes("mobilefacenet").items()}
    shapes["base_model.linear.weight"] = torch.Size([128, 512])
    for value in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"base_model.bn.{value}"] = torch.Size([128])
    shapes |= {"mlp.l1.weight": torch.Size([64, 128]), "mlp.l1.bias": torch.Size([64])}
    shapes |= {"mlp.l2.weight": torch.Size([1, 64]), "mlp.l2.bias": torch.Size([1])}
    network = load_backbone(weights=_saved(tmp_path, recipe_state_dict(shapes)), device="cpu")
    assert network.spec.embedding_size == 128
    assert network.spec.dropout == 0
    assert isinstance(network.head, EDifFiqaHead)
    assert network.head.normalises


def test_damaged_weights_are_refused(tmp_path, state):
    without = {n: t for n, t in state.items() if n != "conv_4.model.5.project.conv.weight"}
    with pytest.raises(WeightsError, match=r"1 missing: conv_4\.model\.5\.project\.conv\.weight"):
        load_backbone(weights=_saved(tmp_path, without), device="cpu")
    more = state | {"conv_7.weight": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"1 unexpected: conv_7\.weight"):
        load_backbone(weights=_saved(tmp_path, more), device="cpu")
    fewer_blocks = {n: t for n, t in state.items() if not n.startswith("conv_5.model.1.")}
    with pytest.raises(
        WeightsError, match=r"nearest known layout, mobilefacenet.*conv_5\.model\.1"
    ):
        load_backbone(weights=_saved(tmp_path, fewer_blocks), device="cpu")
