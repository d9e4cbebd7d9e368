"""MagFace against numbers of the authors' network code, with the weights of the golden recipe."""

import hashlib
import json

import iresnet_twin
import pytest
import torch

from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.magface import MagFace

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def golden(golden_dir):
    return json.loads((golden_dir / "magface.json").read_text())


@pytest.mark.parametrize(
    ("name", "precision", "first", "tolerance"),
    [
        # The wrong epsilon of BatchNorm (1e-5) would change 4e-5.
        ("iresnet18", "float32", 18, 3e-6),
        ("iresnet18", "float64", 3, 1e-9),
        ("iresnet50", "float32", 1, 3e-6),
        pytest.param("iresnet50", "float64", 1, 1e-9, marks=slow),
        pytest.param("iresnet18", "float64", 18, 1e-9, marks=slow),
        pytest.param("iresnet50", "float32", 18, 3e-6, marks=slow),
        pytest.param("iresnet50", "float64", 18, 1e-9, marks=slow),
    ],
)
def test_equals_golden(
    name, precision, first, tolerance, golden, recipe_backbone, crops, crop_names
):
    scorer = MagFace(recipe_backbone(f"magface-{name}", precision))
    expected = [golden[name]["crops"][crop]["norm"] for crop in crop_names[:first]]
    scores = scorer.score(crops[:first]).double()
    assert (scores / torch.tensor(expected, dtype=torch.float64) - 1).abs().max() < tolerance


def test_a_released_file_is_recognised_by_its_prefix(
    tmp_path, golden, recipe_state_dict, crops, crop_names
):
    tensors = recipe_state_dict(iresnet_twin.released_shapes())
    content = b"".join(tensors[name].numpy().tobytes() for name in sorted(tensors))
    assert hashlib.sha256(content).hexdigest() == golden["iresnet18"]["weights_sha256"]

    path = tmp_path / "magface_epoch_00025.pth"
    released = {f"features.module.{name}": tensor for name, tensor in tensors.items()}
    classifier = {"fc.weight": torch.zeros(512, 10)}
    torch.save({"epoch": 25, "arch": "iresnet18", "state_dict": released | classifier}, path)
    network = load_backbone(weights=path, precision="float64", device="cpu")
    path.unlink()

    assert network.spec.name == "magface-iresnet18"
    expected = golden["iresnet18"]["crops"][crop_names[0]]
    pixels = torch.from_numpy(crops[:1]).permute(0, 3, 1, 2)
    embedding = network(network.normalise(pixels))[0]
    assert embedding[:8].tolist() == pytest.approx(expected["embedding_first8"], rel=1e-9)
    assert MagFace(network).score(crops[:1]).item() == pytest.approx(expected["norm"], rel=1e-9)


def test_another_network_is_refused_with_the_name_to_give(sface32):
    with pytest.raises(
        InvalidArgumentError, match=r'got sface; .*backbone="magface-iresnet100".*"embedding-norm"'
    ):
        MagFace(sface32)
