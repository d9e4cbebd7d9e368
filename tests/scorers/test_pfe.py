"""PFE against hand-written TensorFlow arithmetic in float64, and behind other networks."""

import iresnet_twin
import pytest
import sphereface_twin
import torch

from fiqa_fast.backbones.layers.heads import PfeHead
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.scorers.pfe import Pfe

BLOCKS = (0, 1, 2, 0)  # SphereFace with 10 layers
EMBEDDING_SIZE = 24


@pytest.fixture(scope="module")
def tensors():
    return sphereface_twin.graph_tensors(BLOCKS, EMBEDDING_SIZE, seed=8)


@pytest.fixture(scope="module")
def path(tmp_path_factory, tensors):
    path = tmp_path_factory.mktemp("pfe") / "PFE_sphere.pb"
    path.write_bytes(sphereface_twin.frozen_graph(tensors))
    return path


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-9), ("float32", 5e-5)])
def test_a_frozen_graph_equals_the_arithmetic_written_out(
    path, tensors, crops, precision, tolerance
):
    network = load_backbone(weights=path, precision=precision, device="cpu")
    assert (network.spec.name, network.spec.embedding_size) == ("sphereface10", EMBEDDING_SIZE)
    embedding, variances = sphereface_twin.run(tensors, crops[:3])

    narrow = network.spec.input.fitted(torch.from_numpy(crops[:3]).permute(0, 3, 1, 2))
    found = network(network.normalise(narrow)).double()
    torch.testing.assert_close(found, embedding, rtol=0, atol=tolerance)

    expected = variances.shape[1] / (1 / variances).sum(1)
    scores = Pfe(network).score(crops[:3]).double()
    torch.testing.assert_close(scores, expected, rtol=tolerance, atol=0)


def test_the_head_reads_the_features_of_any_network(tmp_path, recipe_state_dict, crops):
    size = 16
    head = {
        "pfe.fc1.weight": torch.Size([size, 25088]),
        "pfe.fc2.weight": torch.Size([size, size]),
        "pfe.scale": torch.Size([]),
        "pfe.shift": torch.Size([]),
    }
    for part in ("weight", "bias", "running_mean", "running_var"):
        head[f"pfe.bn1.{part}"] = torch.Size([size])
    for part in ("running_mean", "running_var"):
        head[f"pfe.bn2.{part}"] = torch.Size([size])
    tensors = recipe_state_dict(iresnet_twin.released_shapes(size) | head)
    path = tmp_path / "pfe.pth"
    torch.save(tensors, path)
    network = load_backbone(weights=path, precision="float64", device="cpu")
    path.unlink()
    assert (network.spec.name, network.head.kind) == ("iresnet18", "pfe")

    features, _ = iresnet_twin.embed(tensors, crops[:1])
    state = {name: t.double() for name, t in tensors.items()}
    x = features @ state["pfe.fc1.weight"].T
    x = (x - state["pfe.bn1.running_mean"]) / (state["pfe.bn1.running_var"] + 0.001).sqrt()
    x = (x * state["pfe.bn1.weight"] + state["pfe.bn1.bias"]).clamp(min=0)
    x = x @ state["pfe.fc2.weight"].T
    x = (x - state["pfe.bn2.running_mean"]) / (state["pfe.bn2.running_var"] + 0.001).sqrt()
    variances = 1e-6 + torch.exp(state["pfe.scale"] * x + state["pfe.shift"])
    expected = size / (1 / variances).sum(1)
    torch.testing.assert_close(Pfe(network).score(crops[:1]), expected, rtol=1e-9, atol=0)


def test_more_uncertain_dimensions_raise_the_score():
    head = PfeHead(4, 3)
    state = {name: torch.zeros_like(t) for name, t in head.state_dict().items()}
    state |= {"pfe.bn1.running_var": torch.ones(3), "pfe.bn2.running_var": torch.ones(3)}
    scores = []
    for shift in (-7.0, -3.0):
        head.load_state_dict(state | {"pfe.shift": torch.tensor(shift)})
        scores.append(head.eval()(torch.zeros(1, 4)).item())
    assert scores == pytest.approx([1e-6 + 2.718281828**-7, 1e-6 + 2.718281828**-3], rel=1e-5)
    assert not Pfe.spec.higher_is_better


def test_low_precision_is_refused(path):
    network = load_backbone(weights=path, precision="bf16", device="cpu")
    with pytest.raises(InvalidArgumentError, match="one of float32, float64, got 'bf16'"):
        Pfe(network)


def test_a_network_without_the_head_is_refused(tmp_path, tensors, sface32):
    with pytest.raises(InvalidArgumentError, match=r"head of pfe, got sface with no .*one \.pb"):
        Pfe(sface32)
    base = {n: t for n, t in tensors.items() if not n.startswith("UncertaintyModule")}
    (tmp_path / "base.pb").write_bytes(sphereface_twin.frozen_graph(base))
    network = load_backbone(weights=tmp_path / "base.pb", device="cpu")
    with pytest.raises(InvalidArgumentError, match="got sphereface10 with no quality head"):
        Pfe(network)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("SphereNet/Bottleneck/weights", (100, EMBEDDING_SIZE)),
        ("SphereNet/conv1/Conv/weights", (3, 3, 64)),
        ("UncertaintyModule/fc1/weights", (21504,)),
        ("SphereNet/conv3/Conv_1/p_re_lu/alpha", (1, 1, 64)),
    ],
)
def test_wrong_shapes_are_reported(tmp_path, tensors, name, shape):
    path = tmp_path / "wrong.pb"
    path.write_bytes(sphereface_twin.frozen_graph(tensors | {name: torch.zeros(shape)}))
    with pytest.raises(WeightsError, match=r"wrong\.pb"):
        load_backbone(weights=path, device="cpu")


@pytest.mark.parametrize("part", ["SphereNet/conv2/Conv_2/", "UncertaintyModule/scale_and_shift/"])
def test_missing_tensors_are_reported(tmp_path, tensors, part):
    path = tmp_path / "cut.pb"
    kept = {n: t for n, t in tensors.items() if not n.startswith(part)}
    assert len(kept) == len(tensors) - 2
    path.write_bytes(sphereface_twin.frozen_graph(kept))
    with pytest.raises(WeightsError, match=r"cut\.pb with 2 missing"):
        load_backbone(weights=path, device="cpu")
