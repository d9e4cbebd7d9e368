import pytest
import torch

from fiqa_fast.backbones.families import sphereface
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.grafiqs import GraFIQs
from fiqa_fast.scorers.ser_fiq import SerFiq


@pytest.fixture(scope="module")
def network(recipe_backbone):
    return recipe_backbone("sphereface4")


def test_taps_are_the_ends_of_the_stages(network):
    x = torch.zeros(1, 3, 112, 96)
    shapes = []
    for stage in network.stages:
        x = stage(x)
        shapes.append(list(x.shape[1:]))
    assert shapes == [[64, 56, 48], [128, 28, 24], [256, 14, 12], [512, 7, 6], [512, 7, 6]]
    assert network.spec.taps["b3"] == "conv3: 256 channels of 14x12"


@pytest.mark.parametrize("depth", [4, 10, 20, 36, 64])
def test_a_name_tells_the_number_of_layers(depth):
    with torch.device("meta"):
        network = sphereface.skeleton(f"sphereface{depth}")
    weights = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(weights) == depth + 1  # the authors do not count the linear layer


@pytest.mark.parametrize(("depth", "embedding_size"), [(4, 512), (64, 8)])
def test_a_file_in_our_own_names_is_recognised(tmp_path, depth, embedding_size):
    with torch.device("meta"):
        state = sphereface.skeleton(f"sphereface{depth}").state_dict()
    state = {n: t for n, t in state.items() if t.is_floating_point()}  # without counts of steps
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    for name in ("fc.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"):
        shapes[name][0] = embedding_size
    # One number for each tensor keeps the file small.
    torch.save(
        {name: torch.ones(()).expand(shape) for name, shape in shapes.items()}, tmp_path / "s.pth"
    )
    network = load_backbone(weights=tmp_path / "s.pth", device="cpu")
    assert network.spec.name == f"sphereface{depth}"
    assert network.spec.embedding_size == embedding_size


def test_the_released_graph_of_64_layers_is_understood(tmp_path):
    """Every tensor of the network, and of PFE's module, from TensorFlow's names and shapes."""
    shapes, c_in = {}, 3
    for stage, (units, c_out) in enumerate(zip((3, 8, 16, 3), (64, 128, 256, 512), strict=True), 1):
        shapes[f"SphereNet/conv{stage}/Conv/biases"] = (c_out,)
        for i in range(1 + 2 * units):
            conv = f"SphereNet/conv{stage}/Conv" + (f"_{i}" if i else "")
            shapes[f"{conv}/weights"] = (3, 3, c_out if i else c_in, c_out)
            shapes[f"{conv}/p_re_lu/alpha"] = (1, 1, c_out)
        c_in = c_out
    shapes["SphereNet/Bottleneck/weights"] = shapes["UncertaintyModule/fc1/weights"] = (21504, 512)
    shapes["UncertaintyModule/fc_log_sigma_sq/weights"] = (512, 512)
    for layer, parts in {
        "SphereNet/Bottleneck": ("beta", "moving_mean", "moving_variance"),
        "UncertaintyModule/fc1": ("gamma", "beta", "moving_mean", "moving_variance"),
        "UncertaintyModule/fc_log_sigma_sq": ("moving_mean", "moving_variance"),
    }.items():
        shapes |= {f"{layer}/BatchNorm/{part}": (512,) for part in parts}
    shapes |= {f"UncertaintyModule/scale_and_shift/{part}": () for part in ("alpha", "gamma")}
    # The names of a graph, in a file that keeps one number for each tensor.
    tensors = {name: torch.ones(()).expand(shape) for name, shape in shapes.items()}
    torch.save(tensors, tmp_path / "graph.pth")
    network = load_backbone(weights=tmp_path / "graph.pth", device="cpu")
    assert network.spec.name == "sphereface64"
    assert network.head.kind == "pfe"


def test_it_has_neither_batch_norms_nor_dropout(network):
    assert network.batch_norms == []
    with pytest.raises(InvalidArgumentError, match="got sphereface4"):
        GraFIQs(network)
    with pytest.raises(InvalidArgumentError, match="sphereface4"):
        SerFiq(network)
