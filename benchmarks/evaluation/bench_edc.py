"""EDC curves of many comparisons: against a plain loop, and the rate of copying them.

    pytest benchmarks/evaluation --benchmark-only

The plain loop does what published scripts do, in numpy: for every step it takes the comparisons
that are left, and counts again. With "fixed" a step is a distinct quality (1,000 of them; each time
is that of evenly spaced steps, scaled), with "per_discard" one of 20 discard fractions, at each of
which the scores that are left are sorted for the threshold. Curve and loop run in turn, round after
round, since a shared machine changes its speed. The floor is one pass over what must be read: two
positions, a score and a label of each comparison, at the rate of a copy.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from fiqa_fast.evaluation.edc import (
    EdcCurve,
    fixed_threshold_curve,
    per_discard_curve,
    threshold_at_fmr,
)
from fiqa_fast.evaluation.pair_quality import pair_levels

SAMPLES = 100_000
DISTINCT = 1000
LOOP_STEPS = 10
FMR = 1e-3
ROUNDS = 5


class Comparisons:
    """Drawn ones: half of them mated; scores of mated ones follow the worse sample."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        self.quality = rng.integers(0, DISTINCT, SAMPLES) / DISTINCT
        self.a = rng.integers(0, SAMPLES, count, dtype=np.int32)
        self.b = rng.integers(0, SAMPLES, count, dtype=np.int32)
        self.mated = rng.random(count, dtype=np.float32) < 0.5
        worse = np.minimum(self.quality[self.a], self.quality[self.b])
        spread = rng.standard_normal(count, dtype=np.float32) * np.float32(0.12)
        self.scores = spread + np.float32(0.6) * self.mated * worse.astype(np.float32)

    def bytes_read(self) -> int:
        return self.a.nbytes + self.b.nbytes + self.mated.nbytes + self.scores.nbytes


def fixed(data: Comparisons) -> EdcCurve:
    levels = pair_levels(data.quality, data.a, data.b)
    threshold = threshold_at_fmr(levels, data.scores, data.mated, FMR)
    return fixed_threshold_curve(levels, data.scores, data.mated, threshold)


def per_discard(data: Comparisons) -> EdcCurve:
    return per_discard_curve(
        pair_levels(data.quality, data.a, data.b), data.scores, data.mated, FMR
    )


def fixed_by_loop(data: Comparisons) -> tuple[list[float], float]:
    """The rates at some steps, and the time of all steps."""
    pair_quality = np.minimum(data.quality[data.a], data.quality[data.b])
    non_mated = np.sort(data.scores[~data.mated])
    threshold = non_mated[len(non_mated) - 1 - int(FMR * len(non_mated))]
    steps = np.unique(pair_quality[data.mated])
    rates = []
    start = time.perf_counter()
    for step in steps[:: len(steps) // LOOP_STEPS]:
        kept = data.scores[(pair_quality >= step) & data.mated]
        rates.append(float((kept <= threshold).mean()))
    return rates, (time.perf_counter() - start) / len(rates) * len(steps)


def per_discard_by_loop(data: Comparisons) -> tuple[list[float], float]:
    """The rates at all 20 steps, and their time."""
    start = time.perf_counter()
    order = np.argsort(np.minimum(data.quality[data.a], data.quality[data.b]), kind="stable")
    rates = []
    for step in range(20):
        kept = order[int(0.05 * step * len(order)) :]
        scores, mated = data.scores[kept], data.mated[kept]
        non_mated = np.sort(scores[~mated])
        refused = non_mated[len(non_mated) - round(FMR * len(non_mated)) - 1]
        threshold = scores[scores > refused].min()
        rates.append(float((scores[mated] <= threshold).mean()))
    return rates, time.perf_counter() - start


WAYS = {"fixed": (fixed, fixed_by_loop), "per_discard": (per_discard, per_discard_by_loop)}


@pytest.mark.parametrize("count", [100_000, 2_000_000])
@pytest.mark.parametrize("policy", list(WAYS))
def test_curve(benchmark: Any, count: int, policy: str) -> None:
    curve, loop = WAYS[policy]
    data = Comparisons(count)
    loops: list[float] = []
    copies: list[float] = []

    def time_the_others() -> None:
        loops.append(loop(data)[1])
        start = time.perf_counter()
        for array in (data.a, data.b, data.mated, data.scores):
            array.copy()
        copies.append(time.perf_counter() - start)

    found = benchmark.pedantic(
        curve, args=(data,), setup=time_the_others, rounds=ROUNDS, warmup_rounds=1
    )

    steps = len(found.error_rate) - (policy == "fixed")  # the last point is no step
    every = steps // LOOP_STEPS if policy == "fixed" else 1
    np.testing.assert_allclose(found.error_rate[:steps:every], loop(data)[0])
    times = np.asarray(benchmark.stats.stats.data)
    others = slice(len(loops) - len(times), None)
    benchmark.extra_info["ratio_to_edc_loop"] = float(np.median(times / loops[others]))
    benchmark.extra_info["ratio_to_copy"] = float(np.median(times / copies[others]))
    benchmark.extra_info["comparisons"] = count
