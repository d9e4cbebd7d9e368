"""Time and memory of one EDC, and of its bootstrap, over 20 million comparisons.

    python benchmarks/evaluation/measure_scale.py -o benchmarks/results/edc_scale

writes OUT.json and OUT.md. Every case runs in a process of its own, several times; the memory is
the process's highest, with the package and torch (about 290 MiB) and the comparisons themselves.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fiqa_fast.benchmark.machine import describe_machine
from fiqa_fast.evaluation.bootstrap import AreaRule, Groups, bootstrap_areas
from fiqa_fast.evaluation.edc import (
    fixed_threshold_curve,
    per_discard_curve,
    threshold_at_fmr,
)
from fiqa_fast.evaluation.pair_quality import pair_levels

SAMPLES, IDENTITIES = 500_000, 10_000
FMR, LIMIT = 1e-3, 0.2


class Comparisons:
    """Drawn ones, half of them mated."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        self.quality = rng.random(SAMPLES)
        self.mated = rng.random(count, dtype=np.float32) < 0.5
        self.a = rng.integers(0, SAMPLES, count, dtype=np.int32)
        # Samples of one person are IDENTITIES apart, so a sample's person is its remainder.
        other = rng.integers(0, SAMPLES // IDENTITIES, count, dtype=np.int32) * IDENTITIES
        shift = np.where(self.mated, 0, rng.integers(1, IDENTITIES, count, dtype=np.int32))
        self.b = ((self.a + shift) % IDENTITIES + other).astype(np.int32)
        self.scores = rng.standard_normal(count, dtype=np.float32) * np.float32(0.12)
        self.scores += self.mated * np.float32(0.5)


def fixed(data: Comparisons) -> None:
    levels = pair_levels(data.quality, data.a, data.b)
    threshold = threshold_at_fmr(levels, data.scores, data.mated, FMR)
    fixed_threshold_curve(levels, data.scores, data.mated, threshold)


def per_discard(data: Comparisons) -> None:
    per_discard_curve(pair_levels(data.quality, data.a, data.b), data.scores, data.mated, FMR)


def bootstrap(data: Comparisons) -> None:
    groups = Groups(data.a % IDENTITIES, data.b % IDENTITIES, IDENTITIES)
    levels = pair_levels(data.quality, data.a, data.b)
    rule = [AreaRule("step", LIMIT)]
    bootstrap_areas([levels], data.scores, data.mated, groups, rule, fmr=FMR, repeats=100)


CASES: dict[str, tuple[str, Callable[[Comparisons], None], int]] = {
    "fixed": ("one EDC, threshold fixed", fixed, 5),
    "per_discard": ("one EDC, threshold per discard", per_discard, 5),
    "bootstrap": ("100 bootstrap draws by identity, threshold fixed", bootstrap, 1),
}


def measure(case: str, count: int) -> dict[str, object]:
    _, function, rounds = CASES[case]
    data = Comparisons(count)
    with_data = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function(data)
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"times_s": times, "peak_mib": peak, "with_data_mib": with_data}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--comparisons", type=int, default=20_000_000)
    parser.add_argument("--case", choices=CASES, help="one case, in this process")
    parser.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.case, options.comparisons)))
        return
    found = {}
    for case in CASES:
        command = [sys.executable, __file__, "--case", case]
        command += ["--comparisons", str(options.comparisons)]
        found[case] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    machine = describe_machine(torch.device("cpu"))
    lines = [
        f"# EDC over {options.comparisons:,} comparisons",
        "",
        f"{machine.cpu}, {machine.cores} cores, numpy {np.__version__}; {SAMPLES:,} samples"
        f" of {IDENTITIES:,} people, distinct qualities, float32 scores, FMR {FMR:g}. Peak memory"
        " of the whole process; median, least and greatest of the rounds.",
        "",
        "| | s | least to greatest | peak, MiB | of which package and data |",
        "|---|---:|---:|---:|---:|",
    ]
    for case, (title, _, _) in CASES.items():
        times = found[case]["times_s"]
        lines.append(
            f"| {title} | {statistics.median(times):.2f} | {min(times):.2f} to {max(times):.2f} |"
            f" {found[case]['peak_mib']:.0f} | {found[case]['with_data_mib']:.0f} |"
        )
    page = "\n".join(lines) + "\n"
    print(page, end="")
    if options.out is not None:
        options.out.with_name(options.out.name + ".md").write_text(page)
        record = {"machine": vars(machine), "comparisons": options.comparisons, "cases": found}
        options.out.with_name(options.out.name + ".json").write_text(
            json.dumps(record, indent=1, default=str) + "\n"
        )


if __name__ == "__main__":
    main()
