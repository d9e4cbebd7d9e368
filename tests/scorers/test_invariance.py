"""A sample's score does not depend on its batch, its position, its neighbours or its layout."""

import numpy as np
import pytest
import torch

from fiqa_fast.scorers.registry import create_scorer

OPTIONS = {
    "faceqan": {"k": 3, "l": 2},
    "ser-fiq": {"T": 10},
    "grafiqs": {},
    "embedding-norm": {},
    "froq": {"layers": "b2,4.3"},
}


# On SFace; lightqnet, whose input is resized, on its own network.
@pytest.fixture(scope="module", params=[*OPTIONS, "lightqnet"])
def scorer(request, sface32, golden_dir):
    if request.param == "lightqnet":
        weights = golden_dir / "lightqnet" / "lightqnet-dm025.pb"
        return create_scorer("lightqnet", weights=weights, device="cpu")
    return create_scorer(request.param, backbone=sface32, **OPTIONS[request.param])


def _close(actual, expected):
    # The contract is 1e-5; fixed pass shapes make it exact, and a loss of that should be noticed.
    for output in expected:
        torch.testing.assert_close(actual[output], expected[output], rtol=0, atol=0)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_batch_size(scorer, crops, size):
    whole = scorer.score_all(crops[:8])
    parts = [scorer.score_all(crops[i : min(i + size, 8)]) for i in range(0, 8, size)]
    _close({o: torch.cat([p[o] for p in parts]) for o in whole}, whole)


def test_order(scorer, crops):
    order = np.random.default_rng(0).permutation(6)
    whole = scorer.score_all(crops[:6])
    shuffled = scorer.score_all(crops[:6][order])
    _close(shuffled, {o: v[order] for o, v in whole.items()})


def test_memory_layout_and_container(scorer, crops):
    expected = scorer.score_all(crops[:2])
    tensor = torch.from_numpy(crops[:2]).permute(0, 3, 1, 2)
    layouts = [
        tensor,  # strided like channels_last
        tensor.contiguous(),
        torch.from_numpy(crops[:4]).permute(0, 3, 1, 2)[:2],
        crops[:2, :, ::-1][:, :, ::-1],  # negative strides and back
    ]
    for layout in layouts:
        _close(scorer.score_all(layout), expected)


@pytest.mark.parametrize(
    "mode",
    [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu", torch.bfloat16)],
    ids=["inference_mode", "no_grad", "autocast"],
)
def test_the_callers_modes_change_nothing(scorer, crops, mode):
    expected = scorer.score_all(crops[:1])
    with mode():
        _close(scorer.score_all(torch.from_numpy(crops[:1]).permute(0, 3, 1, 2)), expected)


def test_empty_batch(scorer):
    scores = scorer.score_all(np.zeros((0, 112, 112, 3), np.uint8))
    assert all(v.shape == (0,) and v.dtype == torch.float32 for v in scores.values())


def test_repeatable(scorer, crops):
    _close(scorer.score_all(crops[:2]), scorer.score_all(crops[:2]))


@pytest.mark.slow
def test_batch_size_with_the_papers_parameters(sface32, crops):
    for name in OPTIONS:
        scorer = create_scorer(name, backbone=sface32)
        whole = scorer.score_all(crops[:8])
        single = [scorer.score_all(crops[i : i + 1]) for i in (5, 2)]
        _close(
            {o: torch.cat([s[o] for s in single]) for o in whole},
            {o: v[[5, 2]] for o, v in whole.items()},
        )
