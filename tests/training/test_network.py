from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.layers.heads import CrFiqaHead, RegressorHead
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.registry import create_scorer
from fiqa_fast.training.network import QualityNetwork, new_backbone, new_head, write_network

CROPS = torch.randint(0, 256, (4, 3, 112, 112), dtype=torch.uint8)


def test_everything_learns(tiny_backbone: Callable[[], Backbone]) -> None:
    backbone = tiny_backbone()
    network = QualityNetwork(backbone, new_head(CrFiqaHead, backbone))
    means = [m.running_mean.clone() for m in backbone.batch_norms]

    embedding, quality = network(CROPS, range(4))
    (embedding.square().sum() + quality.sum()).backward()

    assert quality.tolist() == [0, 0, 0, 0]
    assert all(p.grad is not None for p in network.parameters())
    moved = [not torch.equal(m.running_mean, old) for m, old in zip(
        backbone.batch_norms, means, strict=True)]  # fmt: skip
    assert all(moved)


def test_on_top_only_the_head_learns(tiny_backbone: Callable[[], Backbone]) -> None:
    backbone = tiny_backbone()
    network = QualityNetwork(backbone, new_head(CrFiqaHead, backbone), frozen=True)
    before = {n: t.clone() for n, t in backbone.state_dict().items()}

    network(CROPS, range(4))[1].sum().backward()

    learns = [n for n, p in network.named_parameters() if p.grad is not None]
    assert learns == ["backbone.head.qs.weight", "backbone.head.qs.bias"]
    assert all(torch.equal(t, before[n]) for n, t in backbone.state_dict().items())


def test_inference_depends_on_nothing_else(tiny_backbone: Callable[[], Backbone]) -> None:
    backbone = tiny_backbone()
    network = QualityNetwork(backbone, new_head(CrFiqaHead, backbone)).eval()

    with torch.no_grad():
        together = network(CROPS)[0]
        alone = torch.cat([network(crop[None])[0] for crop in CROPS])

    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("head", "scorer"), [(CrFiqaHead, "cr-fiqa"), (RegressorHead, "label-regressor")]
)
def test_what_is_written_scores(tmp_path: Path, head: type, scorer: str) -> None:
    backbone = new_backbone("mobilefacenet", seed=1)
    network = QualityNetwork(backbone, new_head(head, backbone))
    torch.nn.init.normal_(next(network.head.parameters()))
    network(CROPS, range(4))  # moves the statistics
    path = tmp_path / "network.safetensors"

    write_network(network, path, "a test")

    found = create_scorer(scorer, weights=path, precision="float32").score(CROPS)
    with torch.no_grad():
        expected = network.eval()(CROPS)[1]
    # Sums in another order; the fresh network's numbers are large.
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_fresh_weights_follow_the_seed() -> None:
    one, again, other = (new_backbone("mobilefacenet", seed) for seed in (1, 1, 2))

    states = [b.state_dict() for b in (one, again, other)]
    assert all(torch.equal(t, states[1][n]) for n, t in states[0].items())
    assert not torch.equal(next(one.parameters()), next(other.parameters()))
    assert all(torch.isfinite(t).all() for t in states[0].values())


def test_what_does_not_fit(tiny_backbone: Callable[[], Backbone]) -> None:
    with pytest.raises(InvalidArgumentError, match="expected a head of 16 numbers for tiny, got"):
        QualityNetwork(tiny_backbone(), CrFiqaHead(8))
    backbone = tiny_backbone()
    with pytest.raises(InvalidArgumentError, match="0 <= dropout < 1, got 1"):
        QualityNetwork(backbone, new_head(CrFiqaHead, backbone), dropout=1)
    with pytest.raises(InvalidArgumentError, match="expected network to be one of"):
        new_backbone("resnet", 0)
