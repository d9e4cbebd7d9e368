"""Time and memory of label optimisation at the size of VGGFace2, and its ratio to a plain loop.

    python benchmarks/training/measure_label_optimization.py --folder /tmp/faces \
        -o benchmarks/results/label_optimization

writes OUT.json and OUT.md. Embeddings are synthetic: float16 [S, 512] in a memory map that is made
in --folder, person by person, unless it is there. The whole run and the comparison with the plain
loop are processes of their own; the memory is the process's highest, with the package and torch
(about 290 MiB) and all pages of the map.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plain_label_optimization import optimise_plainly
from synthetic_faces import DIMENSIONS, person_blocks, person_sizes, qualities

from fiqa_fast.benchmark.machine import describe_machine
from fiqa_fast.training.label_optimization import optimise_labels

CLUSTERS, THETA = 20, 0.001
TRIALS = 4  # centres drawn for each of k-means++
SORT_PASSES, PAIR_BYTES = 3, 8
GEMM_ROWS, PRODUCTS, COPIED = 2048, 20, 1 << 28


def file_of(folder: Path, images: int, identities: int) -> Path:
    return folder / f"synthetic_faces_{images}_{identities}.f16"


def make_data(path: Path, sizes: np.ndarray) -> None:
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        for block in person_blocks(sizes):
            file.write(block.tobytes())
    unfinished.replace(path)


def read_data(path: Path, images: int, identities: int) -> tuple[Any, Any, Any]:
    embeddings = np.memmap(path, np.float16, "r", shape=(images, DIMENSIONS))
    identity = np.repeat(np.arange(identities), person_sizes(images, identities))
    return qualities(images), embeddings, identity


def measure_whole(path: Path, images: int, identities: int, repeats: int) -> dict[str, Any]:
    data = read_data(path, images, identities)
    seen: list[tuple[str, float]] = []
    start, used = time.perf_counter(), time.process_time()
    optimised = optimise_labels(
        *data,
        clusters=CLUSTERS,
        theta=THETA,
        repeats=repeats,
        on_progress=lambda step, *_: seen.append((step, time.perf_counter() - start)),
    )
    whole = time.perf_counter() - start
    clustered = max(at for step, at in seen if step == "clusters")
    ends = [at for step, at in seen if step == "repeats"]
    return {
        "whole_s": whole,
        "cpu_s": time.process_time() - used,
        "checks_and_clusters_s": clustered,
        "repeats_s": np.diff(ends).tolist(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "pairs_per_repeat": optimised.pair_counts[0],
        "moved_fraction": float(np.mean(optimised.quality != data[0])),
    }


def measure_ratio(images: int, identities: int, repeats: int) -> dict[str, Any]:
    sizes = person_sizes(images, identities)
    embeddings = np.concatenate(list(person_blocks(sizes)))
    data = qualities(images), embeddings, np.repeat(np.arange(identities), sizes)
    settings = {"clusters": CLUSTERS, "theta": THETA, "repeats": repeats}
    optimise_labels(*data, **settings)  # the first call loads code and pages
    times = []
    for _ in range(3):
        start = time.perf_counter()
        optimise_labels(*data, **settings)
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    optimise_plainly(*data, **settings)
    loop = time.perf_counter() - start
    fast = float(np.median(times))
    return {"fast_s": times, "plain_loop_s": loop, "ratio": loop / fast, "repeats": repeats}


def measure_floor(images: int, pairs: int, repeats: int) -> dict[str, float]:
    """What the machine's matrix product and its memory would need for the work at the least."""
    rows = np.random.default_rng(0).standard_normal((GEMM_ROWS, DIMENSIONS), dtype=np.float32)
    other = rows.copy()
    start = time.perf_counter()
    for _ in range(PRODUCTS):
        rows @ other.T
    flops = 2 * PRODUCTS * GEMM_ROWS**2 * DIMENSIONS / (time.perf_counter() - start)
    source, target = np.ones(COPIED, np.uint8), np.ones(COPIED, np.uint8)
    start = time.perf_counter()
    for _ in range(5):
        np.copyto(target, source)
    bytes_s = 2 * 5 * COPIED / (time.perf_counter() - start)
    # K-means: drawn centres, and two assignments, the second of which finds nothing to change.
    cluster_products = images * (TRIALS * (CLUSTERS - 1) + 2 * CLUSTERS)
    sort_bytes = 2 * SORT_PASSES * PAIR_BYTES * pairs * repeats
    read_bytes = 2 * DIMENSIONS * images * (1 + repeats)
    floor = {
        "gflops": flops / 1e9,
        "copy_gb_s": bytes_s / 1e9,
        "clusters_s": cluster_products * 2 * DIMENSIONS / flops,
        "cosines_s": pairs * repeats * 2 * DIMENSIONS / flops,
        "sort_s": sort_bytes / bytes_s,
        "read_s": read_bytes / bytes_s,
    }
    floor["whole_s"] = sum(floor[part] for part in ("clusters_s", "cosines_s", "sort_s", "read_s"))
    return floor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=3_100_000)
    parser.add_argument("--identities", type=int, default=9_131)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--loop-images", type=int, default=100_000)
    parser.add_argument("--loop-repeats", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=Path("/tmp"), help="for the memory map")
    parser.add_argument("--case", choices=["whole", "ratio"], help="one case, in this process")
    parser.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()
    sizes = options.images, options.identities
    path = file_of(options.folder, *sizes)
    loop_identities = round(options.loop_images * sizes[1] / sizes[0])
    if options.case == "whole":
        print(json.dumps(measure_whole(path, *sizes, options.repeats)))
        return
    if options.case == "ratio":
        print(json.dumps(measure_ratio(options.loop_images, loop_identities, options.loop_repeats)))
        return
    if not path.exists():
        make_data(path, person_sizes(*sizes))
    found: dict[str, Any] = {}
    for case in ("whole", "ratio"):
        command = [sys.executable, __file__, "--case", case, *sys.argv[1:]]
        found[case] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    whole, ratio = found["whole"], found["ratio"]
    floor = measure_floor(options.images, whole["pairs_per_repeat"], options.repeats)
    machine = describe_machine(torch.device("cpu"))
    repeats_s = whole["repeats_s"]
    page = "\n".join(
        [
            f"# Label optimisation of {sizes[0]:,} images of {sizes[1]:,} identities",
            "",
            f"{machine.cpu}, {machine.cores} cores, numpy {np.__version__}; embeddings float16"
            f" [{options.images:,}, {DIMENSIONS}] in a memory map, {CLUSTERS} clusters,"
            f" {options.repeats} repeats of {whole['pairs_per_repeat']:,} pairs. Peak memory of the"
            " whole process, with all pages of the map.",
            "",
            "| | |",
            "|---|---:|",
            f"| whole, s | {whole['whole_s']:.1f} |",
            f"| CPU time of it, s | {whole['cpu_s']:.1f} |",
            f"| checks and K-means, s | {whole['checks_and_clusters_s']:.1f} |",
            f"| a repeat, s: median (least to greatest) | {np.median(repeats_s):.2f}"
            f" ({min(repeats_s):.2f} to {max(repeats_s):.2f}) |",
            f"| peak memory, MiB | {whole['peak_mib']:.0f} |",
            f"| floor, s: products at {floor['gflops']:.0f} GFLOP/s, sorting and reading at"
            f" {floor['copy_gb_s']:.1f} GB/s | {floor['whole_s']:.1f} |",
            f"| plain loop over {options.loop_images:,} images, {ratio['repeats']} repeats, s |"
            f" {ratio['plain_loop_s']:.1f} |",
            f"| the same here, s: median of 3 | {np.median(ratio['fast_s']):.2f} |",
            f"| ratio | {ratio['ratio']:.0f} |",
        ]
    )
    print(page)
    if options.out is not None:
        options.out.with_name(options.out.name + ".md").write_text(page + "\n")
        record = {"machine": vars(machine), "floor": floor, "options": vars(options)} | found
        options.out.with_name(options.out.name + ".json").write_text(
            json.dumps(record, indent=1, default=str) + "\n"
        )


if __name__ == "__main__":
    main()
