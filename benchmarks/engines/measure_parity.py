"""How far the scores of each engine and precision are from float32 on torch, over the ladder.

    python benchmarks/engines/measure_parity.py results/ladder-crops -o results/engine_parity

writes engine_parity.json and engine_parity.md after each case. The ladder's crops come from
examples/degradation_ladder.py. SFace scores all of them, large networks every second, FaceQAN
every sixth.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch
from cases import CASES, make
from PIL import Image
from scipy.stats import spearmanr

from fiqa_fast.benchmark.machine import describe_machine
from fiqa_fast.engines import openvino
from fiqa_fast.engines.export import PRECISIONS
from fiqa_fast.engines.inputs import inputs_of
from fiqa_fast.engines.onnx_file import to_onnx
from fiqa_fast.engines.onnxruntime import OnnxRuntimeRunner
from fiqa_fast.engines.plain_layers import check_precision, on_plain_layers
from fiqa_fast.engines.runner import Runner
from fiqa_fast.errors import FiqaError
from fiqa_fast.precision import SPEARMAN_BOUND, PrecisionError
from fiqa_fast.scorers.base import Scorer

ENGINES = (
    ("onnxruntime", "float32"),
    ("openvino", "float32"),
    ("openvino", "bf16"),
    ("openvino", "fp16"),
    ("openvino", "int8"),
)
_IMAGES = 8


def compiled(
    model: onnx.ModelProto, scorer: Scorer, engine: str, precision: str, crops: np.ndarray
) -> Runner:
    """A graph on an engine; int8 measures its ranges over every third crop."""
    if engine == "onnxruntime":
        return OnnxRuntimeRunner(model)
    converted = openvino.convert(model)
    if precision == "int8":
        inputs = [inputs_of(scorer, crop[None]) for crop in crops[::3]]
        converted = openvino.quantise(converted, inputs)
    return openvino.OpenVINORunner(converted, precision=precision)


def measure(case: str, crops: np.ndarray) -> Iterator[dict[str, object]]:
    """A row for each engine, precision and output."""
    scorer = make(case)
    reference = {o: v.double().numpy() for o, v in scorer.score_all(crops).items()}
    model = to_onnx(on_plain_layers(scorer, "float32"))
    size = 1 if scorer.spec.name == "faceqan" else _IMAGES
    parts = np.split(crops, range(size, len(crops), size))
    for engine, precision in ENGINES:
        try:
            check_precision(scorer, precision, PRECISIONS)
        except FiqaError as error:
            print(f"{case} {engine} {precision}: {error}", flush=True)
            continue
        runner = compiled(model, scorer, engine, precision, crops)
        columns = np.concatenate([runner.run(inputs_of(scorer, p))["raw_score"] for p in parts])
        for i, output in enumerate(scorer.spec.outputs):
            values, expected = columns[:, i].astype(np.float64), reference[output]
            relative = np.abs(values / expected - 1)
            row = PrecisionError(
                network=scorer.backbone.spec.name,
                method=scorer.spec.name,
                output=output,
                precision=precision,
                spearman=round(float(spearmanr(expected, values).statistic), 6),
                max_relative=float(f"{relative.max():.3g}"),
                median_relative=float(f"{np.median(relative):.3g}"),
                crops=len(crops),
            )
            yield {"engine": engine, **asdict(row)}


def table(rows: list[dict[str, object]]) -> str:
    lines = [
        "# Engines: how far scores are from float32 on torch",
        "",
        "Rank correlation (Spearman) and relative differences over the crops of the example ladder."
        f" Within the bound where the correlation is {SPEARMAN_BOUND} or more. SFace and LightQNet"
        " with their own weights, the others with weights from the golden recipe. int8: NNCF, with"
        " ranges measured over every third of the same crops. A method and precision that is"
        " missing was refused: the method loses its signal there.",
        "",
        "| network | method | output | engine | precision | crops | Spearman | max | median | |",
        "|---|---|---|---|---|---:|---:|---:|---:|---|",
    ]
    for r in rows:
        within = "within" if float(str(r["spearman"])) >= SPEARMAN_BOUND else "**beyond**"
        lines.append(
            f"| {r['network']} | {r['method']} | {r['output']} | {r['engine']} | {r['precision']}"
            f" | {r['crops']} | {r['spearman']:.5f} | {r['max_relative']:.1e} |"
            f" {r['median_relative']:.1e} | {within} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("crops", type=Path, help="folder of aligned crops, searched recursively")
    parser.add_argument("-o", "--out", type=Path, required=True, help="without ending")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--keep", action="store_true", help="add to the rows of an earlier run")
    arguments = parser.parse_args()
    files = sorted(arguments.crops.rglob("*.png"))
    crops = np.stack([np.asarray(Image.open(f).convert("RGB")) for f in files])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    versions = {name: version(name) for name in ("torch", "openvino", "onnxruntime", "nncf")}
    machine = asdict(describe_machine(torch.device("cpu")))
    written = arguments.out.with_suffix(".json")
    rows: list[dict[str, object]] = []
    if arguments.keep:
        rows = json.loads(written.read_text())["rows"]
    for case in arguments.cases.split(","):
        start = time.perf_counter()
        stride = 6 if case.startswith("faceqan") else 1 if case.endswith("sface") else 2
        rows += measure(case, crops[::stride])
        print(f"{case}: {time.perf_counter() - start:.0f} s", flush=True)
        content = {"machine": machine, "versions": versions, "rows": rows}
        written.write_text(json.dumps(content, indent=1) + "\n")
        arguments.out.with_suffix(".md").write_text(table(rows))


if __name__ == "__main__":
    main()
