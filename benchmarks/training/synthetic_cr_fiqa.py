"""CR-FIQA and the variants of its ablation on drawn faces, with a small network.

    python benchmarks/training/synthetic_cr_fiqa.py -o benchmarks/results/synthetic_cr_fiqa

Trains on samples of 240 drawn people (fiqa_fast.training.data.synthetic), degraded at random, then
compares the head's quality of other, degraded samples of the same people with
their measured CR and CCS. "On top" trains only the head, on a network that learned recognition
alone. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.layers.units import BatchNormUnit, ConvUnit, Stage
from fiqa_fast.benchmark.machine import describe_machine
from fiqa_fast.ranks import correlate_ranks
from fiqa_fast.training.class_weights import ClassWeights
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.synthetic import SyntheticFaces
from fiqa_fast.training.distribution import Processes
from fiqa_fast.training.losses import ArcFace, quality_target
from fiqa_fast.training.network import QualityNetwork
from fiqa_fast.training.recipe import Recipe
from fiqa_fast.training.train_cr_fiqa import CLASSES_FILE, train_cr_fiqa

SIZE = 128
SPEC = BackboneSpec("small", "eight convolutions", "made here", "none", SIZE, 0.4, {})
WIDTHS = (24, 48, 96, 160)
DEGRADED = 0.8  # of the samples, anew in every epoch
VARIANTS = {
    "CR-FIQA": {"target": "cr"},
    "CCS-FIQA": {"target": "ccs"},
    "recognition alone": {"quality_weight": 0.0},
    "CR-FIQA on top": {"target": "cr", "on_top": True, "learning_rate": 0.01},
    "CCS-FIQA on top": {"target": "ccs", "on_top": True, "learning_rate": 0.01},
}


class Small(Backbone):
    """Four stages of two convolutions, each of which halves the picture."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        units, channels = [], 3
        for width in WIDTHS:
            for stride in (2, 1):
                conv = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
                units.append(ConvUnit(conv, nn.BatchNorm2d(width), nn.PReLU(width)))
                channels = width
        self.units = nn.ModuleList(units)
        self.bn = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels * 7 * 7, SIZE)
        self.last = nn.BatchNorm1d(SIZE)
        first, second, third, fourth = (Stage(*units[i : i + 2]) for i in range(0, 8, 2))
        self.stages = (first, second, third, fourth, Stage(BatchNormUnit(self.bn)))

    def embed(self, features: Tensor) -> Tensor:
        return self.last(self.fc(features))


def new_network() -> Backbone:
    torch.manual_seed(0)
    return Small().prepare(torch.device("cpu"), "float32")


class Split:
    """The drawn faces: samples to learn from, and degraded ones that are held out."""

    def __init__(self, identities: int, learned: int, held_out: int) -> None:
        count = identities * learned
        clean = SyntheticFaces(identities, learned + held_out, degraded_fraction=0, seed=1)
        faces = replace(clean, degraded_fraction=1)
        pictures = [(clean if n < count else faces).crop(n) for n in range(faces.count)]
        encoded = [bytes(cv2.imencode(".png", p[..., ::-1])[1]) for p in pictures[:count]]
        self.training_set = TrainingSet(
            name=f"drawn faces ({identities} x {learned})",
            samples=[str(n) for n in range(count)],
            identity=(np.arange(count) % identities).astype(np.int32),
            identity_names=[str(n) for n in range(identities)],
            read=lambda position: encoded[position],
        )
        held = range(count, faces.count)
        self.identity = torch.tensor([faces.identity(n) for n in held])
        stacked = np.stack([pictures[n] for n in held]).transpose(0, 3, 1, 2)
        self.crops = torch.from_numpy(np.ascontiguousarray(stacked))


@torch.no_grad()
def measure(network: QualityNetwork, weights: Tensor, split: Split) -> dict[str, float]:
    """Rank correlations of the head with CR and CCS, over the held-out degraded samples."""
    classes = ClassWeights(len(weights), SIZE, ArcFace())
    classes.take_weights(weights)
    found = [network(part) for part in split.crops.split(128)]
    embedding, quality = torch.cat([e for e, _ in found]), torch.cat([q for _, q in found])
    ccs, nnccs = classes.measure(embedding, split.identity)
    cr = quality_target(ccs, nnccs)
    predicted = quality.double().numpy()
    return {
        "spearman_cr": correlate_ranks(predicted, cr.double().numpy()) or 0.0,
        "spearman_ccs": correlate_ranks(predicted, ccs.double().numpy()) or 0.0,
        "recognised": float((ccs > nnccs).float().mean()),
        "mean_cr": float(cr.mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--identities", type=int, default=240)
    parser.add_argument("--samples", type=int, default=12, help="of each identity, to learn from")
    parser.add_argument("--held-out", type=int, default=4, help="of each identity")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--variant", choices=VARIANTS, action="append")
    parser.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()
    split = Split(options.identities, options.samples, options.held_out)
    base = Recipe(
        epochs=options.epochs,
        milestone_epochs=(options.epochs * 6 // 10, options.epochs * 8 // 10),
        batch_size=64,
        scale=32.0,  # 64 and .5 are for some ten thousand people and more
        margin_size=0.3,
        learning_rate=0.05,
        warmup_steps=50,
        degraded_fraction=DEGRADED,
        # With the paper's 10 and so few steps the head ends at .4 to .5.
        quality_weight=50.0,
        dropout=0.2,
        log_every=20,
        checkpoint_every=0,
    )
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "recognition alone"
        for variant in options.variant or VARIANTS:
            start = time.perf_counter()
            recipe = replace(base, **VARIANTS[variant])
            backbone = new_network()
            if recipe.on_top:
                # The network and the classes of the training of recognition alone.
                state = torch.load(alone / "state.pt", weights_only=True)
                backbone.load_state_dict(state)
                recipe = replace(recipe, class_weights=str(alone / CLASSES_FILE))
            network = train_cr_fiqa(
                split.training_set, recipe, Path(folder) / variant, Processes(), backbone=backbone,
                progress=lambda step, values: print(
                    step, {k: round(v, 3) for k, v in values.items()}, flush=True
                ),
            )  # fmt: skip
            source = alone if recipe.on_top else Path(folder) / variant
            weights = torch.load(source / CLASSES_FILE, weights_only=True)["weights"]
            if variant == "recognition alone":
                kept = {k: v for k, v in backbone.state_dict().items() if not k.startswith("head.")}
                torch.save(kept, alone / "state.pt")
            results[variant] = measure(network, weights, split)
            results[variant]["minutes"] = (time.perf_counter() - start) / 60
            print(variant, results[variant], flush=True)
    if options.out is not None:
        write(options, base, results, len(split.identity))


def write(
    options: argparse.Namespace, recipe: Recipe, results: dict[str, dict[str, float]], held: int
) -> None:
    machine = describe_machine(torch.device("cpu"))
    lines = [
        "# CR-FIQA on drawn faces",
        "",
        f"{machine.cpu}, {machine.cores} cores. {options.identities} drawn people,"
        f" {options.samples} samples of each to learn from, {recipe.epochs} epochs in batches of"
        f" {recipe.batch_size}; ArcFace (s {recipe.scale:g}, m {recipe.margin_size}), lambda"
        f" {recipe.quality_weight:g}, float32, a network of eight convolutions. Spearman's rho"
        f" between the head and what was measured, over {held} degraded samples that were not"
        " learned from.",
        "",
        "| training | to CR | to CCS | nearest class is the own | minutes |",
        "|---|---:|---:|---:|---:|",
    ]
    for variant, found in results.items():
        has_head = variant != "recognition alone"
        cells = [f"{found[n]:.3f}" if has_head else "" for n in ("spearman_cr", "spearman_ccs")]
        lines.append(
            f"| {variant} | {cells[0]} | {cells[1]} | {found['recognised']:.0%} |"
            f" {found['minutes']:.1f} |"
        )
    page = "\n".join(lines) + "\n"
    print(page)
    options.out.with_name(options.out.name + ".md").write_text(page)
    record = {"machine": vars(machine), "recipe": asdict(recipe), "results": results}
    options.out.with_name(options.out.name + ".json").write_text(
        json.dumps(record, indent=1, default=str) + "\n"
    )


if __name__ == "__main__":
    main()
