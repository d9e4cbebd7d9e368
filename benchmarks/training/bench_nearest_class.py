"""Softmax and nearest class over the classes of MS1MV2, in blocks and with the whole matrix.

    pytest benchmarks/training/bench_nearest_class.py --benchmark-only

Forward and backward, 512 embeddings of 512 numbers against 85,742 classes. Measured in turn, round
after round, since a shared machine changes its speed: the blocks, the plain twin under autograd,
and the matrix products alone (three that any way needs, and the one that is computed again). Memory
is the high-water mark of a fresh process for each way, less that of one that has embeddings,
weights and their gradients only.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fiqa_fast.training.nearest_class import sum_negatives, sum_negatives_reference

BATCH, CLASSES, DIMENSIONS = 512, 85_742, 512
SCALE = 64.0
ROUNDS = 5
THREADS = 2


class Case:
    """Random embeddings, weights and labels."""

    def __init__(self) -> None:
        torch.set_num_threads(THREADS)
        generator = torch.Generator().manual_seed(0)
        units = torch.randn(BATCH, DIMENSIONS, generator=generator)
        self.units = (units / units.norm(dim=1, keepdim=True)).requires_grad_()
        weights = torch.randn(CLASSES, DIMENSIONS, generator=generator)
        self.weights = weights.mul_(0.01).requires_grad_()
        self.own = torch.randint(CLASSES, (BATCH,), generator=generator)

    def both_ways(self, function: Callable[..., tuple[Tensor, Tensor]]) -> Tensor:
        """The sums; gradients are left in the case."""
        self.units.grad = self.weights.grad = None
        log_sum, _ = function(self.units, self.weights, self.own, SCALE)
        log_sum.mean().backward()
        return log_sum.detach()

    @torch.no_grad()
    def products(self) -> float:
        """Seconds of one matrix product of each kind: cosines, both gradients, cosines again."""
        units, weights = self.units.detach(), self.weights.detach()
        block = 2**21 // BATCH
        start = time.perf_counter()
        for first in range(0, CLASSES, block):
            part = weights[first : first + block]
            cosines = units @ part.T
            cosines = units @ part.T
            _ = cosines @ part
            _ = cosines.T @ units
        return time.perf_counter() - start


def hold_only(units: Tensor, weights: Tensor, own: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """What every way has in memory: the gradients."""
    return units.sum(1) + weights.sum(), own


WAYS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "blocks": sum_negatives,
    "matrix": sum_negatives_reference,
    "none": hold_only,
}


def peak_mib(way: str) -> float:
    """High-water mark of a fresh process."""
    command = [sys.executable, __file__, way]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_softmax_and_nearest_class(benchmark: Any) -> None:
    case = Case()
    seconds: dict[str, list[float]] = {"matrix": [], "products": []}

    def time_the_others() -> None:
        start = time.perf_counter()
        case.both_ways(sum_negatives_reference)
        seconds["matrix"].append(time.perf_counter() - start)
        seconds["products"].append(case.products())

    found = benchmark.pedantic(
        case.both_ways,
        args=(sum_negatives,),
        setup=time_the_others,
        rounds=ROUNDS,
        warmup_rounds=1,
    )

    torch.testing.assert_close(found, case.both_ways(sum_negatives_reference))
    times = benchmark.stats.stats.data
    for name, others in seconds.items():
        ratios = [a / b for a, b in zip(times, others[-len(times) :], strict=True)]
        benchmark.extra_info[f"ratio_to_{name}"] = statistics.median(ratios)
        benchmark.extra_info[f"{name}_s"] = statistics.median(others)
    floor = peak_mib("none")
    for way in ("blocks", "matrix"):
        benchmark.extra_info[f"{way}_mib"] = peak_mib(way) - floor
    print(benchmark.extra_info)


@pytest.mark.parametrize("block", [2**k for k in range(8, 15, 2)])
def test_size_of_blocks(benchmark: Any, block: int) -> None:
    case = Case()

    def in_blocks(*arguments: Any) -> tuple[Tensor, Tensor]:
        return sum_negatives(*arguments, block=block)

    benchmark.pedantic(case.both_ways, args=(in_blocks,), rounds=3, warmup_rounds=1)


if __name__ == "__main__":
    Case().both_ways(WAYS[sys.argv[1]])
    # VmHWM, in KiB, is of this program alone; ru_maxrss begins with that of the process before it.
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
