"""Where the time of the heaviest scorers goes, by kind of work: a Markdown table.

    python benchmarks/profile/profile_scorers.py --network iresnet50 > profile.md

Profiled are passes of the torch engine in bf16. Time is that of the calls themselves, without what
they call, as torch's profiler sees it; the rest up to the wall clock is Python between the calls.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter

import numpy as np
from torch.profiler import ProfilerActivity, profile

from fiqa_fast.benchmark.networks import NetworkFiles, load
from fiqa_fast.scorers.registry import create_scorer

# The first that fits the operator's name.
KINDS = {
    "convolutions": ("mkldnn::_convolution", "aten::convolution", "aten::cudnn", "onednn::qconv"),
    "last layer": ("mkldnn::_linear", "aten::linear", "aten::addmm"),
    "BN, PReLU, statistics": ("fiqa_fast::bn_prelu",),
    "BN, sums, next BN": ("fiqa_fast::bn_add_bn",),
    "PReLU of differences": ("fiqa_fast::prelu_difference",),
    "random draws": ("fiqa_fast::dropout_copies",),
    "matrix products": ("aten::mm", "aten::bmm"),
    "copies and conversions": ("aten::copy_", "aten::clone", "aten::_to_copy", "aten::contiguous"),
}
METHODS = {
    "faceqan": ("faceqan", {}, 1),
    "grafiqs, all outputs": ("grafiqs", {}, 8),
    "ser-fiq": ("ser-fiq", {}, 8),
}


def profiled(name: str, network: object, options: dict[str, object], faces: int) -> Counter[str]:
    """Milliseconds for a face, by kind."""
    scorer = create_scorer(name, backbone=network, **options)
    crops = np.random.default_rng(0).integers(0, 256, (faces, 112, 112, 3), dtype=np.uint8)
    scorer.score_all(crops)
    walls_ms = []
    for _ in range(3):
        start = time.perf_counter()
        scorer.score_all(crops)
        walls_ms.append(1e3 * (time.perf_counter() - start) / faces)
    wall_ms = statistics.median(walls_ms)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        scorer.score_all(crops)
    spent: Counter[str] = Counter()
    for event in found.key_averages():
        kind = next(
            (k for k, names in KINDS.items() if event.key.startswith(names)), "other operators"
        )
        spent[kind] += event.self_cpu_time_total / 1e3 / faces
    spent["Python between the calls"] = max(wall_ms - sum(spent.values()), 0.0)
    spent["wall clock"] = wall_ms
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", default="iresnet50")
    parser.add_argument("--precision", default="bf16")
    arguments = parser.parse_args()
    with NetworkFiles() as files:
        source = files.find(arguments.network)
        network = load(source, precision=arguments.precision, device="cpu")
    columns = {title: profiled(m, network, o, n) for title, (m, o, n) in METHODS.items()}
    print(f"## {arguments.network} in {arguments.precision}: ms for a face\n")
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for kind in (*KINDS, "other operators", "Python between the calls", "wall clock"):
        cells = [f"{c[kind]:.2f} ({c[kind] / c['wall clock']:.0%})" for c in columns.values()]
        print(f"| {kind} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
