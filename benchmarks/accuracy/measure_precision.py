"""How much the scores move in bf16 (and int8): measured against float32 over the example ladder.

    python benchmarks/accuracy/measure_precision.py results/ladder-crops -o results/precision

writes precision_errors.json, which the package carries as the published bound behind
`precision="auto"`, and precision.md, the table of it. The ladder's crops come from
examples/degradation_ladder.py. SFace runs with its own weights; the other networks, whose released
weights may not be passed on, with those of the golden recipe. FaceQAN on the large networks takes a
minute for each dozen crops, so every `--faceqan-stride`-th crop is scored there.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr

from fiqa_fast.benchmark.networks import NetworkFiles, load
from fiqa_fast.precision import SPEARMAN_BOUND, PrecisionError
from fiqa_fast.scorers.faceqan import FaceQAN
from fiqa_fast.scorers.registry import create_scorer

METHODS = ("embedding-norm", "froq", "ser-fiq", "grafiqs", "faceqan")
NETWORKS = ("sface", "iresnet50", "iresnet100")


class UncheckedFaceQAN(FaceQAN):
    """FaceQAN in any precision: here the error is measured that decides which are allowed."""

    _precisions = ("float32", "bf16")


def scores(network: str, method: str, precision: str, crops: np.ndarray) -> dict[str, np.ndarray]:
    """Every output of a method, float64 [B]."""
    with NetworkFiles() as files:
        backbone = load(files.find(network), precision=precision, device="auto")
    scorer = (
        UncheckedFaceQAN(backbone)
        if method == "faceqan"
        else create_scorer(method, backbone=backbone)
    )
    return {o: v.double().cpu().numpy() for o, v in scorer.score_all(crops).items()}


def compare(network: str, method: str, precision: str, crops: np.ndarray) -> list[PrecisionError]:
    """A row for each output of a method."""
    reference = scores(network, method, "float32", crops)
    rows = []
    for output, values in scores(network, method, precision, crops).items():
        relative = np.abs(values / reference[output] - 1)
        rows.append(
            PrecisionError(
                network=network,
                method=method,
                output=output,
                precision=precision,
                spearman=round(float(spearmanr(reference[output], values).statistic), 6),
                max_relative=float(f"{relative.max():.3g}"),
                median_relative=float(f"{np.median(relative):.3g}"),
                crops=len(crops),
            )
        )
    return rows


def table(rows: list[PrecisionError]) -> str:
    lines = [
        "# Precision: how far scores move, against float32",
        "",
        "Rank correlation (Spearman) and relative differences over the crops of the example ladder;"
        f" within the bound where the correlation is {SPEARMAN_BOUND} or more for every output of a"
        " method. SFace with its own weights, the others with weights from the golden recipe.",
        "",
        "| network | method | output | precision | crops | Spearman | largest | median | |",
        "|---|---|---|---|---:|---:|---:|---:|---|",
    ]
    for r in rows:
        within = "within" if r.spearman >= SPEARMAN_BOUND else "**beyond**"
        lines.append(
            f"| {r.network} | {r.method} | {r.output} | {r.precision} | {r.crops} |"
            f" {r.spearman:.5f} | {r.max_relative:.1e} | {r.median_relative:.1e} | {within} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("crops", type=Path, help="folder of aligned crops, searched recursively")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--faceqan-stride", type=int, default=6)
    arguments = parser.parse_args()
    files = sorted(arguments.crops.rglob("*.png"))
    crops = np.stack([np.asarray(Image.open(f).convert("RGB")) for f in files])
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows: list[PrecisionError] = []
    for network in arguments.networks.split(","):
        for method in arguments.methods.split(","):
            small = method == "faceqan" and network != "sface"
            chosen = crops[:: arguments.faceqan_stride] if small else crops
            start = time.perf_counter()
            rows += compare(network, method, arguments.precision, chosen)
            print(f"{network} {method}: {time.perf_counter() - start:.0f} s", flush=True)
            content = {"torch": torch.__version__, "rows": [asdict(row) for row in rows]}
            (arguments.out / "precision_errors.json").write_text(json.dumps(content, indent=1))
    (arguments.out / "precision.md").write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
