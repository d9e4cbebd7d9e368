"""GraFIQs, FaceQAN and SER-FIQ on iresnet against numbers of the authors' own code.

The weights are those of the golden recipe. Tolerances are those that the golden data state.
"""

import hashlib
import json

import numpy as np
import pytest
import torch

from fiqa_fast.backbones.families.iresnet import skeleton
from fiqa_fast.scorers.faceqan import FaceQAN
from fiqa_fast.scorers.grafiqs import GraFIQs
from fiqa_fast.scorers.ser_fiq import SerFiq, SerFiqOptions

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def golden(golden_dir):
    return json.loads((golden_dir / "iresnet.json").read_text())


@pytest.fixture(scope="module")
def network(recipe_backbone):
    """Networks by name and precision; the last one is kept."""
    kept = {}

    def get(name, precision="float32"):
        if (name, precision) not in kept:
            kept.clear()
            kept[name, precision] = recipe_backbone(name, precision)
        return kept[name, precision]

    return get


@pytest.mark.parametrize("name", ["iresnet18", pytest.param("iresnet100", marks=slow)])
def test_the_weights_are_those_of_the_golden_numbers(name, golden, recipe_state_dict):
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in skeleton(name).state_dict().items()}
    state = recipe_state_dict(shapes)
    content = b"".join(state[key].numpy().tobytes() for key in sorted(state))
    assert hashlib.sha256(content).hexdigest() == golden["weights_sha256"][name]


@pytest.mark.parametrize(
    ("name", "precision", "count", "tolerance"),
    [
        ("iresnet18", "float32", 18, 5e-5),
        ("iresnet18", "float64", 2, 1e-9),
        ("iresnet50", "float32", 2, 5e-5),
        pytest.param("iresnet18", "float64", 18, 1e-9, marks=slow),
        pytest.param("iresnet50", "float32", 18, 5e-5, marks=slow),
        pytest.param("iresnet50", "float64", 18, 1e-9, marks=slow),
        pytest.param("iresnet100", "float32", 4, 5e-5, marks=slow),
        pytest.param("iresnet100", "float64", 4, 1e-9, marks=slow),
    ],
)
def test_grafiqs(network, crops, crop_names, golden, name, precision, count, tolerance):
    scores = GraFIQs(network(name, precision)).score_all(crops[:count])
    expected = [golden["grafiqs"][name][crop] for crop in crop_names[:count]]
    for output, values in scores.items():
        reference = torch.tensor([e[output] for e in expected], dtype=torch.float64)
        torch.testing.assert_close(values.double(), reference, rtol=tolerance, atol=0, msg=output)


def _noise(entry):
    state = torch.get_rng_state()
    torch.manual_seed(entry["torch_seed"])
    noise = [torch.FloatTensor(3, 112, 112).uniform_(-0.001, 0.001) for _ in range(10)]
    torch.set_rng_state(state)
    assert hashlib.sha256(torch.stack(noise).numpy().tobytes()).hexdigest() == entry["noise_sha256"]
    return torch.stack(noise)


def _check(scorer, crop, noise, expected, tolerance_s, tolerance_q):
    similarities, mirror = scorer.similarities(torch.from_numpy(crop).permute(2, 0, 1), noise)
    if "S" in expected:
        got = np.asarray(similarities, dtype=np.float64).reshape(np.shape(expected["S"]))
        np.testing.assert_allclose(got, expected["S"], rtol=0, atol=tolerance_s)
    assert abs(mirror.item() - expected["s"]) < tolerance_s
    assert abs(scorer.quality(similarities, mirror).item() / expected["Q"] - 1) < tolerance_q


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("iresnet18", 1),
        pytest.param("iresnet18", 18, marks=slow),
        pytest.param("iresnet50", 6, marks=slow),
    ],
)
def test_faceqan_in_float32(network, crops, crop_names, golden, name, count):
    scorer = FaceQAN(network(name))
    for crop, key in zip(crops[:count], crop_names[:count], strict=True):
        entry = golden["faceqan"][name][key]
        expected = entry.get("as_coded_float64", entry["official_float32"])
        _check(scorer, crop, _noise(entry), expected, 5e-5, 5e-5)


@slow
@pytest.mark.parametrize("name", ["iresnet18", "iresnet50"])
@pytest.mark.parametrize("variant", ["official", "paper"])
def test_faceqan_in_float64(network, crops, crop_names, golden, name, variant):
    key = "as_coded_float64" if variant == "official" else "paper_float64"
    scorer = FaceQAN(network(name, "float64"), variant=variant)
    entries = {c: e for c, e in golden["faceqan"][name].items() if key in e}
    assert len(entries) >= 2
    for crop, entry in entries.items():
        noise = _noise(entry).double()
        if variant == "paper":
            generator = np.random.Generator(np.random.PCG64(entry[key]["numpy_seed"]))
            noise = torch.from_numpy(generator.uniform(-0.001, 0.001, (10, 3, 112, 112)))
        _check(scorer, crops[crop_names.index(crop)], noise, entry[key], 1e-7, 1e-6)


@pytest.mark.parametrize(
    ("name", "precision", "count", "tolerance"),
    [
        ("iresnet18", "float32", 4, 1e-4),
        ("iresnet18", "float64", 1, 1e-9),
        pytest.param("iresnet18", "float64", 18, 1e-9, marks=slow),
        pytest.param("iresnet50", "float32", 18, 1e-4, marks=slow),
        pytest.param("iresnet50", "float64", 18, 1e-9, marks=slow),
    ],
)
def test_ser_fiq(network, crops, crop_names, golden, name, precision, count, tolerance):
    entry = golden["ser_fiq"][name]
    generator = np.random.Generator(np.random.PCG64(entry["numpy_mask_seed"]))
    kept = generator.random((100, 25088)) >= 0.4
    assert kept.sum() == entry["numpy_mask_kept"]
    masks = torch.from_numpy(kept)[None].expand(count, -1, -1)
    expected = [entry["crops"][crop] for crop in crop_names[:count]]
    backbone = network(name, precision)
    forms = {
        "score_as_coded": SerFiq(backbone),
        "score_paper": SerFiq(backbone, variant="paper"),
        "score_scaling8_pair_mean": SerFiq(backbone, SerFiqOptions(scaling=8.0), variant="paper"),
    }
    original = SerFiq(backbone, SerFiqOptions(code="original")).score(crops[:count], noise=masks)
    paper = torch.tensor([e["score_paper"] for e in expected], dtype=torch.float64)
    spread = 1 / (1 + torch.exp(-130 * (paper - 0.88)))
    torch.testing.assert_close(original.double(), spread, rtol=130 * tolerance, atol=0)
    for form, scorer in forms.items():
        scores = scorer.score(crops[:count], noise=masks)
        reference = torch.tensor([e[form] for e in expected], dtype=torch.float64)
        torch.testing.assert_close(scores.double(), reference, rtol=tolerance, atol=0, msg=form)
