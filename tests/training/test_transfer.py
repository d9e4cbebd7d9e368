from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.layers.heads import RegressorHead
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.network import QualityNetwork, new_backbone, new_head
from fiqa_fast.training.transfer import LayerRates, TransferTask, scale_labels


def test_labels_are_scaled_and_turned_round() -> None:
    labels = np.asarray([2.0, 4.0, 3.0])

    assert scale_labels(labels, higher_is_better=True).tolist() == [0, 1, 0.5]
    assert scale_labels(labels, higher_is_better=False).tolist() == [1, 0, 0.5]


@pytest.mark.parametrize("labels", [[1.0, np.nan], [1.0, 1.0], [[1.0, 2.0]], []])
def test_labels_that_teach_nothing(labels: list[float]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"expected (finite labels|labels that differ)"):
        scale_labels(np.asarray(labels), higher_is_better=True)


def test_the_papers_rates_go_to_the_last_layers() -> None:
    backbone = new_backbone("iresnet18", 0)
    network = QualityNetwork(backbone, new_head(RegressorHead, backbone))
    layers = [p for n, p in backbone.named_parameters() if not n.startswith("head.")]

    groups = TransferTask(network).parameter_groups()

    scales = [(len(g["params"]), g["scale"], g["weight_decay"]) for g in groups]
    assert scales == [
        (2, 1.0, 1e-4),
        (10, pytest.approx(1.0), 1e-5),
        (40, pytest.approx(0.1), 1e-6),
        (min(50, len(layers) - 50), pytest.approx(0.01), 1e-6),
    ]
    assert groups[1]["params"][-1] is layers[-1]
    assert [p.requires_grad for p in layers] == [n >= len(layers) - 100 for n in range(len(layers))]


def test_runs_beyond_a_small_network_are_left_out(
    tiny_backbone: Callable[[], Backbone],
) -> None:
    backbone = tiny_backbone()
    network = QualityNetwork(backbone, new_head(RegressorHead, backbone))

    groups = TransferTask(network).parameter_groups(
        [LayerRates(2, 0, 1e-3, 0), LayerRates(100, 50, 1e-5, 0)]
    )

    assert [len(g["params"]) for g in groups] == [2, 2]
    frozen = QualityNetwork(tiny_backbone(), RegressorHead(16), frozen=True)
    assert len(TransferTask(frozen).parameter_groups()) == 1
