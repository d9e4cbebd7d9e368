"""Label optimisation of 5,000 images against a plain loop, at the paper's settings.

    pytest benchmarks/training/bench_label_optimization.py --benchmark-only -s

Loop and optimisation run in turn, since a shared machine changes its speed.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from plain_label_optimization import optimise_plainly
from synthetic_faces import person_blocks, person_sizes, qualities

from fiqa_fast.training.label_optimization import optimise_labels

IMAGES, IDENTITIES, REPEATS, ROUNDS = 5_000, 15, 2, 3


def test_optimise_labels(benchmark: Any) -> None:
    sizes = person_sizes(IMAGES, IDENTITIES)
    embeddings = np.concatenate(list(person_blocks(sizes)))
    identity = np.repeat(np.arange(IDENTITIES), sizes)
    quality = qualities(IMAGES)
    settings = {"clusters": 20, "theta": 0.001, "repeats": REPEATS}
    loops: list[float] = []

    def time_the_loop() -> None:
        start = time.perf_counter()
        optimise_plainly(quality, embeddings, identity, **settings)
        loops.append(time.perf_counter() - start)

    benchmark.pedantic(
        lambda: optimise_labels(quality, embeddings, identity, **settings),
        setup=time_the_loop,
        rounds=ROUNDS,
    )
    if benchmark.stats is None:  # --benchmark-disable
        return
    whole = benchmark.stats.stats.data
    ratios = [loop / w for loop, w in zip(loops[-ROUNDS:], whole, strict=True)]
    benchmark.extra_info["plain_loop_s"] = round(statistics.median(loops[-ROUNDS:]), 3)
    benchmark.extra_info["ratio_to_loop"] = round(statistics.median(ratios), 1)
    print(f"\n{IMAGES:,} images: {benchmark.extra_info}")
