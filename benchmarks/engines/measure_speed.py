"""Milliseconds for a face on each engine, precision and batch size; the engines take turns.

    python benchmarks/engines/measure_speed.py -o results/engine_speed

writes engine_speed.json and engine_speed.md. "raw" is a plain loop over the compiled model of
OpenVINO, without this package: the ceiling of what a scorer on that engine can reach. A case that
cannot run (a precision that the method loses its signal in) is left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import openvino as ov
import torch
from cases import make

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.benchmark.crops import synthetic_crops
from fiqa_fast.benchmark.machine import describe_machine
from fiqa_fast.benchmark.networks import NetworkFiles, load
from fiqa_fast.engines.export import export_scorer
from fiqa_fast.engines.exported import load_exported
from fiqa_fast.engines.inputs import inputs_of
from fiqa_fast.engines.openvino import OpenVINORunner
from fiqa_fast.errors import FiqaError
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.scorers.registry import create_scorer

_ROUNDS, _REST_S = 3, 0.3
BATCHES = (1, 8, 32)
PRECISIONS = ("float32", "bf16", "int8")
CASES = (
    "embedding-norm@iresnet50",
    "grafiqs@iresnet50",
    "embedding-norm@sface",
    "grafiqs@sface",
    "ser-fiq@sface",
    "faceqan@sface",
)


@dataclass(frozen=True)
class Timing:
    """Medians over rounds, in ms for a face; spread is (max - min) / median."""

    case: str
    engine: str
    precision: str
    batch: int
    ms: float
    spread: float
    rounds: int


def example(count: int) -> np.ndarray:
    """uint8 RGB [count, 112, 112, 3]."""
    return np.ascontiguousarray(synthetic_crops(count).permute(0, 2, 3, 1).numpy())


def contenders(
    case: str, precision: str, batch: int, files: NetworkFiles, folder: Path
) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is timed: name, one call over a batch."""
    method, network = case.split("@")
    crops = example(batch)
    if precision != "int8":
        try:
            scorer = create_scorer(method, backbone=network_in(files, network, precision))
            yield "torch", lambda: scorer.score(crops)
        except FiqaError as error:
            print(f"{case} torch {precision}: {error}", flush=True)
    plain = make(case)
    path = folder / f"{case}-{precision}.xml"
    try:
        if not path.exists():
            export_scorer(
                plain,
                "openvino",
                folder,
                precision=precision,
                name=path.stem,
                outputs=(plain.output,),
                calibration=list(example(18)),
            )
        exported = load_exported(path)
    except FiqaError as error:
        print(f"{case} openvino {precision}: {error}", flush=True)
        return
    yield "openvino", lambda: exported.runner.run(inputs_of(plain, crops))
    yield "openvino raw", raw_loop(exported.runner, plain, crops)
    if precision == "float32":
        compiled = create_scorer(method, backbone=plain.backbone, engine="onnxruntime")
        yield "onnxruntime", lambda: compiled.score(crops)


def raw_loop(runner: OpenVINORunner, scorer: Scorer, crops: np.ndarray) -> Callable[[], object]:
    """The compiled model alone, its inputs ready."""
    request: ov.InferRequest = runner._compiled.create_infer_request()
    inputs = inputs_of(scorer, crops)
    return lambda: request.infer(inputs, share_inputs=True)


def network_in(files: NetworkFiles, name: str, precision: str) -> Backbone:
    return load(files.find(name), precision=precision, device="cpu")


def measure(
    case: str, precision: str, batch: int, files: NetworkFiles, folder: Path, seconds: float
) -> Iterator[Timing]:
    calls = dict(contenders(case, precision, batch, files, folder))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            time.sleep(_REST_S)  # threads of the one before spin for a while
            call()
            begin = time.perf_counter()
            while not times[name] or time.perf_counter() - begin < seconds / _ROUNDS:
                start = time.perf_counter()
                call()
                times[name].append((time.perf_counter() - start) * 1e3 / batch)
    for name, values in times.items():
        middle = median(values)
        low, high = np.percentile(values, [10, 90])
        spread = float(round((high - low) / middle, 3))
        yield Timing(case, name, precision, batch, round(middle, 3), spread, len(values))


def table(timings: list[Timing]) -> str:
    lines = [
        "# Engines: milliseconds for a face",
        "",
        "Medians; in brackets the spread (90th minus 10th percentile, of the median). The engines"
        " of a line take turns, three times. openvino: through this package; raw: a plain loop"
        " over the compiled model with its inputs ready. iresnet50: weights of the golden recipe.",
        "",
        "| method@network | precision | batch | torch | openvino | raw | over raw | onnxruntime |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    keys = dict.fromkeys((t.case, t.precision, t.batch) for t in timings)
    for key in keys:
        of_key = {t.engine: t for t in timings if (t.case, t.precision, t.batch) == key}
        cells = [
            f"{of_key[e].ms:.2f} ({of_key[e].spread:.0%})" if e in of_key else ""
            for e in ("torch", "openvino", "openvino raw", "onnxruntime")
        ]
        ratio = ""
        if "openvino raw" in of_key:
            ratio = f"{of_key['openvino'].ms / of_key['openvino raw'].ms:.3f}"
        lines.append(
            f"| {key[0]} | {key[1]} | {key[2]} | {cells[0]} | {cells[1]} | {cells[2]} | {ratio} |"
            f" {cells[3]} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, required=True, help="without ending")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    parser.add_argument("--keep", action="store_true", help="add to the rows of an earlier run")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each cell of the table")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    timings: list[Timing] = []
    written = arguments.out.with_suffix(".json")
    if arguments.keep:
        timings = [Timing(**row) for row in json.loads(written.read_text())["rows"]]
    machine = asdict(describe_machine(torch.device("cpu")))
    versions = {name: version(name) for name in ("torch", "openvino", "onnxruntime", "nncf")}
    with NetworkFiles() as files, tempfile.TemporaryDirectory() as folder:
        for case in arguments.cases.split(","):
            for precision in arguments.precisions.split(","):
                for batch in map(int, arguments.batches.split(",")):
                    if batch > {"faceqan": 1, "grafiqs": 8}.get(case.split("@")[0], batch):
                        continue  # many passes for each image: a larger batch changes nothing
                    timings += measure(
                        case, precision, batch, files, Path(folder), arguments.seconds
                    )
                    print(timings[-1] if timings else "", flush=True)
            content = {
                "machine": machine,
                "versions": versions,
                "rows": [asdict(t) for t in timings],
            }
            written.write_text(json.dumps(content, indent=1) + "\n")
            arguments.out.with_suffix(".md").write_text(table(timings))


if __name__ == "__main__":
    main()
