"""What each method costs on SFace: milliseconds per face, and in forward passes of the network.

    pytest benchmarks/scorers --benchmark-only --benchmark-json=scorers.json

The network's forward pass of one face is timed in turn with the scorer, round after round, so that
the ratio holds on a machine whose speed drifts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.scorers.registry import create_scorer

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
METHODS = {
    "embedding-norm": {},
    "grafiqs b4": {"output": "b4"},
    "grafiqs b2": {"output": "b2"},
    "grafiqs image": {"output": "image"},
    "ser-fiq": {},
    "froq": {},
    "faceqan": {},
}
TOGETHER = ("grafiqs", "ser-fiq", "embedding-norm", "froq")


@pytest.fixture(scope="module")
def network() -> Backbone:
    return load_backbone("sface")


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.stack(
        [np.asarray(Image.open(p)) for p in sorted((GOLDEN / "crops").glob("*.png"))[:4]]
    )


@pytest.mark.parametrize("method", METHODS)
def test_scorer(benchmark: Any, network: Backbone, crops: np.ndarray, method: str) -> None:
    scorer = create_scorer(method.split()[0], backbone=network, **METHODS[method])
    rounds = 5 if method == "faceqan" else 15
    _measure(benchmark, network, crops, lambda: scorer.score(crops).sum(), rounds)


def test_lightqnet(benchmark: Any, network: Backbone, crops: np.ndarray) -> None:
    """A small network of its own, in forward passes of SFace."""
    scorer = create_scorer("lightqnet", weights=GOLDEN / "lightqnet" / "lightqnet-dm100.pb")
    _measure(benchmark, network, crops, lambda: scorer.score(crops).sum(), 15)


def test_methods_together(benchmark: Any, network: Backbone, crops: np.ndarray) -> None:
    """All outputs of four methods, from one pass of the network for each face."""
    scorer = create_scorer(TOGETHER, backbone=network)

    def score() -> torch.Tensor:
        scores = scorer.score_all(crops)
        return sum(s.sum() for of_method in scores.values() for s in of_method.values())

    _measure(benchmark, network, crops, score, 15)


def test_methods_one_after_the_other(benchmark: Any, network: Backbone, crops: np.ndarray) -> None:
    """The same numbers as `test_methods_together`, without sharing."""
    scorers = [create_scorer(name, backbone=network) for name in TOGETHER]

    def score() -> torch.Tensor:
        return sum(v.sum() for s in scorers for v in s.score_all(crops).values())

    _measure(benchmark, network, crops, score, 15)


def _measure(
    benchmark: Any,
    network: Backbone,
    crops: np.ndarray,
    score: Callable[[], torch.Tensor],
    rounds: int,
) -> None:
    one = network.normalise(torch.from_numpy(crops[:1]).permute(0, 3, 1, 2).to(network.device))
    forwards: list[float] = []

    def time_a_forward() -> None:
        start = time.perf_counter()
        network(one).sum().item()  # .item() waits for a CUDA device
        forwards.append(time.perf_counter() - start)

    benchmark.pedantic(
        lambda: score().item(),
        setup=time_a_forward,
        rounds=rounds,
        warmup_rounds=1,
    )
    per_face = [s / len(crops) for s in benchmark.stats.stats.data]
    paired = [a / b for a, b in zip(per_face, forwards[-rounds:], strict=True)]
    benchmark.extra_info |= {
        "device": str(network.device),
        "precision": network.precision,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "per_face_ms": round(1e3 * statistics.median(per_face), 2),
        "forward_ms": round(1e3 * statistics.median(forwards), 2),
        "in_forwards": round(statistics.median(paired), 2),
    }
