"""The scorers on a real CUDA device, against the CPU and against themselves."""

import numpy as np
import pytest
import torch

from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.fused.cuda_graph import CapturedFunction
from fiqa_fast.scorers.registry import create_scorer

pytestmark = pytest.mark.cuda

if not torch.cuda.is_available():
    pytest.skip("no CUDA device: torch.cuda.is_available() is False", allow_module_level=True)

OPTIONS = {"embedding-norm": {}, "ser-fiq": {"T": 20}, "grafiqs": {}, "faceqan": {"k": 3, "l": 3}}
# Relative to float32 on the CPU; what bf16 may cost is the published bound's own measurement.
FLOAT32 = {"embedding-norm": 1e-5, "ser-fiq": 1e-5, "grafiqs": 1e-3, "faceqan": 2e-3}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("engine", ["torch", "reference"])
def test_float32_is_that_of_the_cpu(sface32, crops, name, engine):
    network = load_backbone("sface", precision="float32", device="cuda")
    found = create_scorer(name, backbone=network, engine=engine, **OPTIONS[name]).score_all(crops)
    expected = create_scorer(name, backbone=sface32, **OPTIONS[name]).score_all(crops)
    for output, values in expected.items():
        torch.testing.assert_close(
            found[output].cpu(), values, rtol=FLOAT32[name], atol=0, msg=output
        )


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_scores_do_not_depend_on_the_batch(recipe_backbone, crops, name, precision):
    if name == "faceqan" and precision == "fp16":
        pytest.skip("refused")
    network = recipe_backbone("iresnet18").prepare(torch.device("cuda"), precision)
    scorer = create_scorer(name, backbone=network, **OPTIONS[name])
    batch = np.concatenate([crops] * 3)  # more than one pass
    whole = scorer.score_all(batch)
    order = np.random.default_rng(0).permutation(len(batch))
    shuffled, alone = scorer.score_all(batch[order]), scorer.score_all(batch[5:6])
    for output, values in whole.items():
        assert torch.equal(shuffled[output], values[order]), output
        assert torch.equal(alone[output], values[5:6]), output


def test_a_captured_graph_follows_its_inputs():
    captured = CapturedFunction(lambda x, y: (x * 2 + y, x.sum()))
    for value in (1.0, 3.0):
        x, y = torch.full((4,), value, device="cuda"), torch.arange(4.0, device="cuda")
        first, second = captured(x, y)
        assert torch.equal(first, x * 2 + y)
        assert second.item() == 4 * value
    kept, _ = captured(torch.ones(4, device="cuda"), y)
    captured(torch.zeros(4, device="cuda"), y)
    assert torch.equal(kept, 2 + y)  # a later call does not overwrite an earlier result
