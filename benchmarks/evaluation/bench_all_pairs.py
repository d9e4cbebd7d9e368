"""All comparisons of 20,000 embeddings: against the matrix product alone, and a plain loop.

    pytest benchmarks/evaluation --benchmark-only -s

The floor is the time of the products that the comparisons need, 2 * n^2 * d / 2 FLOP, at the rate
of one whole block's matrix product. The plain loop multiplies the rest of the matrix with one row
after the other and keeps nothing; it is measured on evenly spaced rows and scaled to all of them.
Floor, loop and summary run in turn, round after round, since a shared machine changes its speed.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fiqa_fast.evaluation.all_pairs import summarise_all_pairs

DIMENSIONS = 512
SAMPLES_OF_A_PERSON = 10
BLOCK = 2048
PRODUCTS = 8
LOOP_ROWS = 200
ROUNDS = 3


def draw(samples: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Persons with some samples each; mated cosines around 0.5."""
    rng = np.random.default_rng(0)
    identity = np.arange(samples) // SAMPLES_OF_A_PERSON
    centres = rng.standard_normal((identity[-1] + 1, DIMENSIONS), dtype=np.float32)
    noise = rng.standard_normal((samples, DIMENSIONS), dtype=np.float32)
    order = rng.permutation(samples)
    return (centres[identity] + noise)[order], identity[order]


@pytest.mark.parametrize("samples", [20_000])
def test_summarise_all_pairs(benchmark: Any, samples: int) -> None:
    embeddings, identity = draw(samples)
    pairs = samples * (samples - 1) // 2
    products: list[float] = []
    loops: list[float] = []

    def time_the_others() -> None:
        rows, columns = embeddings[:BLOCK], embeddings[BLOCK : 2 * BLOCK].T
        out = np.empty((BLOCK, BLOCK), np.float32)
        start = time.perf_counter()
        for _ in range(PRODUCTS):
            np.matmul(rows, columns, out=out)
        products.append((time.perf_counter() - start) / PRODUCTS)
        start = time.perf_counter()
        for row in range(0, samples, samples // LOOP_ROWS):
            embeddings[row + 1 :] @ embeddings[row]
        loops.append((time.perf_counter() - start) * (samples // LOOP_ROWS))

    benchmark.pedantic(
        lambda: summarise_all_pairs(embeddings, identity, block=BLOCK),
        setup=time_the_others,
        rounds=ROUNDS,
        warmup_rounds=1,
    )
    if benchmark.stats is None:  # --benchmark-disable
        return
    whole = benchmark.stats.stats.data
    floors = [seconds * pairs / BLOCK**2 for seconds in products[-ROUNDS:]]
    figures = {
        "gflops_of_the_product": 2e-9 * BLOCK**2 * DIMENSIONS / statistics.median(products),
        "whole_s": statistics.median(whole),
        "floor_s": statistics.median(floors),
        "plain_loop_s": statistics.median(loops[-ROUNDS:]),
        "ratio_to_floor": statistics.median(w / f for w, f in zip(whole, floors, strict=True)),
        "ratio_to_loop": statistics.median(
            w / loop for w, loop in zip(whole, loops[-ROUNDS:], strict=True)
        ),
    }
    benchmark.extra_info.update({name: round(value, 3) for name, value in figures.items()})
    print(f"\n{pairs:,} pairs of {DIMENSIONS}: {benchmark.extra_info}")
