"""How long plans take to build, and how large they are: TensorRT-RTX ahead of time, without a GPU.

    python benchmarks/engines/tensorrt_builds.py -o benchmarks/results/tensorrt_builds

writes tensorrt_builds.json and .md: for each network, method and precision one plan for all GPUs
that have its numbers, the median of `--repeats` builds. Weights come from the golden recipe; SFace
has its own. Before that each graph is traced, which is timed as well.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx
import torch

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.benchmark import recipe_weights
from fiqa_fast.benchmark.contention import waited_fraction, waited_s
from fiqa_fast.benchmark.machine import describe_machine
from fiqa_fast.engines.onnx_file import to_onnx
from fiqa_fast.engines.plain_layers import on_plain_layers
from fiqa_fast.engines.tensorrt import build_engine
from fiqa_fast.scorers.registry import create_scorer

NETWORKS = ("sface", "iresnet18", "iresnet50", "iresnet100")
METHODS = ("embedding-norm", "ser-fiq", "grafiqs", "faceqan")
SHORT = ("fp16", "bf16")


@dataclass(frozen=True)
class Build:
    """One row.

    Attributes:
        network: name of the network.
        method: name of the method, with the paper's parameters.
        precision: of the graph.
        operators: in the graph.
        trace_s: from the scorer to its ONNX file.
        build_s: from the ONNX file to the plan on disk, median.
        waited_fraction: how long the process waited for a processor meanwhile, of its time.
        onnx_mb: size of the ONNX file, 10^6 bytes.
        plan_mb: size of the plan.
        memory_mb: of the GPU for one context, besides the weights, for a batch of 32, as the plan
            itself says.
        compute_capabilities: that the plan is for.
    """

    network: str
    method: str
    precision: str
    operators: int
    trace_s: float
    build_s: float
    waited_fraction: float | None
    onnx_mb: float
    plan_mb: float
    memory_mb: float
    compute_capabilities: tuple[str, ...]


def measure(backbone: Backbone, method: str, precision: str, repeats: int, folder: Path) -> Build:
    """Traces a method and builds its plan."""
    scorer = create_scorer(method, backbone=backbone, engine="reference")
    graph, plan = folder / "graph.onnx", folder / "scorer.plan"
    start = time.perf_counter()
    model = to_onnx(on_plain_layers(scorer, precision))
    onnx.save(model, graph)
    trace_s = time.perf_counter() - start
    times, waited, begin = [], waited_s(), time.perf_counter()
    for _ in range(repeats):
        start = time.perf_counter()
        record = build_engine(graph, plan, flavour="tensorrt-rtx")
        times.append(time.perf_counter() - start)
    fraction = waited_fraction(waited, waited_s(), time.perf_counter() - begin)
    return Build(
        network=backbone.spec.name,
        method=method,
        precision=precision,
        operators=len(model.graph.node),
        trace_s=round(trace_s, 1),
        build_s=round(statistics.median(times), 2),
        waited_fraction=None if fraction is None else round(fraction, 2),
        onnx_mb=round(graph.stat().st_size / 1e6, 1),
        plan_mb=round(plan.stat().st_size / 1e6, 1),
        memory_mb=round(activations_bytes(plan.read_bytes()) / 1e6, 1),
        compute_capabilities=record.compute_capabilities,
    )


def activations_bytes(plan: bytes) -> int:
    """What the text in a plan says about memory on the GPU."""
    return sum(int(size) for size in re.findall(rb"name=devmem\w* size=(\d+)", plan))


def table(rows: list[Build], heading: list[str]) -> str:
    lines = [
        "# TensorRT-RTX: plans built ahead of time, without a GPU",
        "",
        *heading,
        "",
        "| network | method | precision | operators | trace, s | build, s | ONNX, MB | plan, MB |"
        " memory, MB | for | waited |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---|---:|",
    ]
    for row in rows:
        gpus = ", ".join(c.removeprefix("SM") for c in row.compute_capabilities)
        waited = "" if row.waited_fraction is None else f"{row.waited_fraction:.0%}"
        lines.append(
            f"| {row.network} | {row.method} | {row.precision} | {row.operators} |"
            f" {row.trace_s:.1f} | {row.build_s:.2f} | {row.onnx_mb:.1f} | {row.plan_mb:.1f} |"
            f" {row.memory_mb:.0f} | {gpus} | {waited} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", choices=NETWORKS)
    parser.add_argument("--method", action="append", choices=METHODS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, required=True, help="without an ending")
    options = parser.parse_args()
    import tensorrt_rtx  # here, so that --help needs nothing

    machine = describe_machine(torch.device("cpu"))
    heading = [
        f"TensorRT-RTX {tensorrt_rtx.__version__} on {machine.cores} cores of {machine.cpu};"
        f" medians of {options.repeats} builds; profile 1, 8, 32; FaceQAN with k=10, l=5, SER-FIQ"
        " with T=100. *memory*: on the GPU for one context at a batch of 32, besides the weights,"
        " as the plan says. *waited*: how long the process waited for a processor while it built;"
        " above a few per cent, times are too long.",
    ]
    rows = []
    for name in options.network or NETWORKS:
        backbone = (
            load_backbone("sface", precision="float32", device="cpu")
            if name == "sface"
            else recipe_weights.backbone(name)
        )
        for method in options.method or METHODS:
            known = create_scorer(method, backbone=backbone, engine="reference").spec.precisions
            for precision in ("float32", *(p for p in SHORT if p in known)):
                with tempfile.TemporaryDirectory() as folder:
                    row = measure(backbone, method, precision, options.repeats, Path(folder))
                rows.append(row)
                print(row, flush=True)
                content = {"machine": asdict(machine), "rows": [asdict(r) for r in rows]}
                text = json.dumps(content, indent=1) + "\n"
                options.output.with_suffix(".json").write_text(text)
                options.output.with_suffix(".md").write_text(table(rows, heading))


if __name__ == "__main__":
    main()
