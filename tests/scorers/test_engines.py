"""The engines "torch" (fused) and "reference" (plain layers, autograd) give the same scores."""

import numpy as np
import pytest
import torch

from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError, UnavailableError
from fiqa_fast.scorers.passes import Passes, images_per_pass
from fiqa_fast.scorers.registry import create_scorer

OPTIONS = {
    "embedding-norm": {}, "froq": {"layers": "b1,b4,3.1"}, "ser-fiq": {"T": 10}, "grafiqs": {},
    "faceqan": {"k": 2, "l": 2},
}  # fmt: skip
# Relative: float32 sums in another order; FaceQAN's signs of vanishing gradients flip.
TOLERANCE = {"grafiqs": 2e-4, "faceqan": 1e-3}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("network", ["sface", "iresnet18"])
def test_both_engines_give_the_same_scores(sface32, recipe_backbone, crops, network, name):
    backbone = sface32 if network == "sface" else recipe_backbone(network)
    fused, plain = (
        create_scorer(name, backbone=backbone, engine=engine, **OPTIONS[name])
        for engine in ("torch", "reference")
    )
    assert (fused.engine, plain.engine) == ("torch", "reference")
    found, expected = fused.score_all(crops[:3]), plain.score_all(crops[:3])
    for output, values in expected.items():
        tolerance = TOLERANCE.get(name, 1e-5)
        torch.testing.assert_close(found[output], values, rtol=tolerance, atol=0, msg=output)


@pytest.mark.parametrize(
    ("network", "name"),
    [*(("iresnet18", n) for n in OPTIONS), *(("sface", n) for n in OPTIONS if n != "faceqan")],
)
def test_bf16_does_not_depend_on_the_batch(recipe_backbone, crops, network, name):
    """To the bit: passes of eight, of three, and of one, in any order."""
    if network == "sface":
        backbone = load_backbone("sface", precision="bf16", device="cpu")
    else:
        backbone = recipe_backbone(network, "bf16")
    scorer = create_scorer(name, backbone=backbone, **OPTIONS[name])
    batch = crops[:11]
    whole = scorer.score_all(batch)
    order = np.random.default_rng(0).permutation(11)
    shuffled = scorer.score_all(batch[order])
    parts = [scorer.score_all(batch[i : i + 3]) for i in range(0, 11, 3)]
    alone = scorer.score_all(batch[7:8])
    for output, values in whole.items():
        assert torch.equal(shuffled[output], values[order]), output
        assert torch.equal(torch.cat([part[output] for part in parts]), values), output
        assert torch.equal(alone[output], values[7:8]), output


def test_auto_is_the_fused_engine_where_it_can_run(sface32, recipe_backbone):
    assert create_scorer("grafiqs", backbone=sface32).engine == "torch"
    other = recipe_backbone("mobilefacenet")
    assert create_scorer("embedding-norm", backbone=other).engine == "reference"
    with pytest.raises(UnavailableError, match="units of the kind Bottleneck; use engine='refer"):
        create_scorer("embedding-norm", backbone=other, engine="torch")
    with pytest.raises(UnavailableError, match="one of reference, auto, torch, got 'fast'"):
        create_scorer("embedding-norm", backbone=other, engine="fast")


def test_faceqan_in_bf16_only_where_that_was_measured(recipe_backbone, sface32):
    network = recipe_backbone("iresnet18", "bf16")
    assert create_scorer("faceqan", backbone=network).engine == "torch"
    with pytest.raises(InvalidArgumentError, match="float32, float64, got 'bf16'"):
        create_scorer("faceqan", backbone=network, engine="reference")


def test_a_pass_is_filled_where_its_shape_decides(recipe_backbone):
    network = recipe_backbone("iresnet18", "bf16")
    assert images_per_pass(network, "reference") == 1
    assert images_per_pass(network, "torch") == 8
    assert images_per_pass(recipe_backbone("iresnet18"), "torch") == 1
    passes = Passes(network, "torch", torch.zeros(11, 3, 112, 112, dtype=torch.uint8))
    assert [(p.crops.shape[0], c) for p, c in passes] == [(8, slice(0, 8)), (3, slice(8, 11))]
    passes._fills = True  # as on a GPU
    rows = torch.arange(3)[:, None]
    assert passes.filled(rows).flatten().tolist() == [0, 1, 2, 2, 2, 2, 2, 2]
    assert [p.crops.shape[0] for p, _ in passes] == [8, 8]
