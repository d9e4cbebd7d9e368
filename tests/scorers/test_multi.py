"""Several methods together give, to the bit, what each gives alone."""

import pytest
import torch

from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.evaluation import evaluate_together
from fiqa_fast.scorers.multi import MultiScorer
from fiqa_fast.scorers.registry import create_scorer

OPTIONS = {"faceqan": {"k": 2, "l": 2}, "ser-fiq": {"T": 10}}
NAMES = ["embedding-norm", "ser-fiq", "faceqan", "grafiqs"]


@pytest.fixture(scope="module")
def together(sface32):
    return create_scorer(NAMES, backbone=sface32, **OPTIONS)


@pytest.fixture(scope="module")
def alone(sface32):
    return {n: create_scorer(n, backbone=sface32, **OPTIONS.get(n, {})) for n in NAMES}


def test_scores_are_those_of_each_method_alone(together, alone, crops):
    scores = together.score(crops[:3])
    assert list(scores) == NAMES
    for name in NAMES:
        assert torch.equal(scores[name], alone[name].score(crops[:3])), name


def test_all_outputs_are_those_of_each_method_alone(together, alone, crops):
    scores = together.score_all(crops[:2])
    for name in NAMES:
        expected = alone[name].score_all(crops[:2])
        assert scores[name].keys() == expected.keys()
        for output, values in expected.items():
            assert torch.equal(scores[name][output], values), (name, output)


@pytest.mark.parametrize("output", ["mse_bns", "image", "b4"])
def test_whatever_grafiqs_leaves_behind_serves_the_others(sface32, alone, crops, output):
    """GraFIQs runs the stages itself, with gradients from the wanted tap on."""
    scorer = create_scorer(
        ["ser-fiq", "grafiqs"],
        backbone=sface32,
        grafiqs={"output": output},
        **{"ser-fiq": OPTIONS["ser-fiq"]},
    )
    assert torch.equal(scorer.score(crops[:1])["ser-fiq"], alone["ser-fiq"].score(crops[:1]))


def test_grafiqs_on_swapped_channels_leaves_nothing_wrong_behind(sface32, alone, crops):
    scorer = create_scorer(
        ["grafiqs", "embedding-norm"], backbone=sface32, grafiqs={"channel_order": "BGR"}
    )
    scores = scorer.score(crops[:1])
    assert torch.equal(scores["embedding-norm"], alone["embedding-norm"].score(crops[:1]))
    swapped = alone["grafiqs"].score(crops[:1, :, :, ::-1])
    torch.testing.assert_close(scores["grafiqs"], swapped, rtol=1e-6, atol=0)


def test_the_network_runs_once_for_each_crop(sface32, crops, monkeypatch):
    passes = []
    stage = sface32.stages[0]
    original = type(stage).forward

    def counting(self, *arguments):
        if self is stage:
            passes.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(type(stage), "forward", counting)
    names = ["embedding-norm", "ser-fiq", "grafiqs"]
    create_scorer(names, backbone=sface32, **{"ser-fiq": {"T": 2}}).score(crops[:3])
    assert len(passes) == 3


def test_explicit_noise_reaches_its_method(together, alone, crops):
    masks = torch.rand(2, 10, 50176) >= 0.4
    scores = together.score(crops[:2], noise={"ser-fiq": masks})
    assert torch.equal(scores["ser-fiq"], alone["ser-fiq"].score(crops[:2], noise=masks))
    with pytest.raises(InvalidArgumentError, match="got some for lightqnet"):
        together.score(crops[:2], noise={"lightqnet": masks})


def test_wrong_combinations(sface32, alone, crops):
    with pytest.raises(InvalidArgumentError, match="each method once, got grafiqs, grafiqs"):
        create_scorer(["grafiqs", "grafiqs"], backbone=sface32)
    with pytest.raises(InvalidArgumentError, match="each method once, got none"):
        MultiScorer([])
    other = create_scorer("grafiqs", backbone=load_backbone(device="cpu"))
    with pytest.raises(InvalidArgumentError, match="got several networks"):
        MultiScorer([alone["ser-fiq"], other])
    with pytest.raises(InvalidArgumentError, match="on one network, got several"):
        evaluate_together([alone["ser-fiq"], other], crops[:1], {}, {})
    with pytest.raises(InvalidArgumentError, match="a dict of parameters for each of"):
        create_scorer(["grafiqs", "faceqan"], backbone=sface32, k=3)
    with pytest.raises(InvalidArgumentError, match="an option of grafiqs"):
        create_scorer(["grafiqs", "faceqan"], backbone=sface32, grafiqs={"k": 3})
