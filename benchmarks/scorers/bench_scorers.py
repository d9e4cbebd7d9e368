"""What each method costs on SFace, beside the official-style loop and the floor of the machine.

    pytest benchmarks/scorers --benchmark-only --benchmark-json=scorers.json
    python benchmarks/summarise.py scorers.json

The loop, a matrix product and the scorer run in turn, round after round, so that the ratios hold on
a machine whose speed drifts. `fiqa-fast benchmark` measures more networks, precisions and batch
sizes in the same way.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.benchmark.candidates import loop_faces, make_candidate, run_loop
from fiqa_fast.benchmark.cases import least_flops, parse_workloads
from fiqa_fast.benchmark.crops import synthetic_crops
from fiqa_fast.benchmark.floors import MatrixProduct, floor_precision, matrix_product, measure_rates
from fiqa_fast.benchmark.flops import count_network
from fiqa_fast.benchmark.measure import Spread, ratios, spread, synchronise, timed_s

LIGHTQNET = Path(__file__).parents[2] / "tests" / "golden" / "lightqnet" / "lightqnet-dm100.pb"
METHODS = (
    "embedding-norm",
    "grafiqs.b4",
    "grafiqs.b2",
    "grafiqs.image",
    "grafiqs.all",
    "ser-fiq",
    "froq",
    "faceqan",
    "grafiqs+ser-fiq+embedding-norm+froq",
)
FACES = 4
ROUNDS = {"faceqan": 3}
DEFAULT_ROUNDS = 15


@pytest.fixture(scope="module")
def network() -> Backbone:
    return load_backbone("sface")


@pytest.fixture(scope="module")
def lightqnet() -> Backbone:
    return load_backbone(weights=LIGHTQNET)


@pytest.fixture(scope="module")
def product(network: Backbone) -> tuple[str, MatrixProduct]:
    """The fastest product of floating numbers that the machine has, and its precision."""
    precision = floor_precision("auto", measure_rates(network.device))
    return precision, matrix_product(network.device, precision)


@pytest.mark.parametrize("method", METHODS)
def test_scorer(
    benchmark: Any, network: Backbone, product: tuple[str, MatrixProduct], method: str
) -> None:
    _measure(benchmark, network, product, method)


def test_lightqnet(benchmark: Any, lightqnet: Backbone, product: tuple[str, MatrixProduct]) -> None:
    """A small network of its own; its loop is its forward pass."""
    _measure(benchmark, lightqnet, product, "lightqnet")


def _measure(
    benchmark: Any, network: Backbone, product: tuple[str, MatrixProduct], method: str
) -> None:
    workload = parse_workloads(method)[0]
    candidate = make_candidate(workload, network, "auto")
    crops, faces = synthetic_crops(FACES), loop_faces(workload)
    precision, matrices = product
    references = {
        "loop": partial(run_loop, workload, network, crops[:faces]),
        "product": matrices.run,
    }
    samples: dict[str, list[float]] = {name: [] for name in references}

    def time_the_references() -> None:
        for name, call in references.items():
            samples[name].append(timed_s(call, network.device))

    def score() -> None:
        candidate.score(crops)
        synchronise(network.device)

    rounds = ROUNDS.get(method, DEFAULT_ROUNDS)
    # pedantic() calls `setup` before each of its rounds, warm-up included: that pairs them.
    benchmark.pedantic(score, setup=time_the_references, rounds=rounds, warmup_rounds=1)
    if benchmark.stats is None:  # --benchmark-disable
        return
    flops = least_flops(workload, count_network(network))
    ours = [1e3 * s / FACES for s in benchmark.stats.stats.data]
    loop = [1e3 * s / faces for s in samples["loop"][-rounds:]]
    floor = [1e3 * s * flops / matrices.flops for s in samples["product"][-rounds:]]
    benchmark.extra_info |= {
        "method": method,
        "network": network.spec.name,
        "device": str(network.device),
        "precision": candidate.precision,
        "engine": candidate.engine,
        "floor_precision": precision,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "per_face_ms": _numbers(spread(ours)),
        "loop_ms": _numbers(spread(loop)),
        "floor_ms": _numbers(spread(floor)),
        "ratio_to_loop": _numbers(ratios(ours, loop)),
        "ratio_to_floor": _numbers(ratios(ours, floor)),
    }


def _numbers(value: Spread) -> dict[str, float]:
    return {"median": value.median, "iqr": value.iqr or 0.0}
