"""Prints how far the methods are from the golden numbers on the networks of their papers.

    python benchmarks/golden/networks.py > benchmarks/results/golden_networks.md

It takes about 10 minutes. Golden: the authors' own code, with the weights of the golden recipe
(LightQNet: with its own weights); see tests/golden.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from common import CROPS, GOLDEN, NAMES, Row, Table, absolute, faceqan_noise, read, relative

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.layers.heads import CrFiqaHead
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.scorers.cr_fiqa import CrFiqa
from fiqa_fast.scorers.faceqan import FaceQAN
from fiqa_fast.scorers.grafiqs import GraFIQs
from fiqa_fast.scorers.lightqnet import LightQNet
from fiqa_fast.scorers.magface import MagFace
from fiqa_fast.scorers.ser_fiq import SerFiq

sys.path.insert(0, str(GOLDEN))
import golden_recipe

DATA: dict[str, Any] = read("iresnet.json")
TOLERANCES = {
    "GraFIQs": {"float32": 5e-5, "float64": 1e-9},
    "FaceQAN Q": {"float32": 5e-5, "float64": 1e-6},
    "FaceQAN S": {"float32": 5e-5, "float64": 1e-7},
    "SER-FIQ": {"float32": 1e-4, "float64": 1e-9},
    "CR-FIQA": {"float32": 1e-4, "float64": 1e-9},
    "MagFace": {"float32": 3e-6, "float64": 1e-9},
    "CurricularFace": {"float32": 1e-4, "float64": 1e-9},
    "LightQNet": {"float32": 1e-4, "float64": 1e-4},
}


def main() -> None:
    table = Table("The papers' networks against the golden numbers", TOLERANCES)
    for precision in ("float32", "float64"):
        row = table.rows(precision)
        for name in ("iresnet18", "iresnet50", "iresnet100"):
            network = golden_recipe.backbone(name, precision)
            grafiqs(network, row)
            if name != "iresnet100":
                faceqan(network, row)
                ser_fiq(network, row)
                magface(golden_recipe.backbone(f"magface-{name}", precision), row)
        cr_fiqa(golden_recipe.backbone("iresnet50", precision, CrFiqaHead(512)), row)
        curricularface(golden_recipe.backbone("ir101", precision), row)
        for model in ("dm100", "dm050", "dm025"):
            path = GOLDEN / "lightqnet" / f"lightqnet-{model}.pb"
            lightqnet(load_backbone(weights=path, precision=precision, device="cpu"), model, row)


def grafiqs(network: Backbone, row: Row) -> None:
    golden = DATA["grafiqs"][network.spec.name]
    names, crops = _those_in(golden)
    for output, scores in GraFIQs(network).score_all(crops).items():
        difference = relative(scores, [golden[name][output] for name in names])
        row(f"GraFIQs {output}, {network.spec.name}", len(names), difference)


def faceqan(network: Backbone, row: Row) -> None:
    golden = DATA["faceqan"][network.spec.name]
    cases = {
        "official": ("as_coded_float64", "official"),
        "paper": ("paper_float64", "paper"),
        "official, authors' float32": ("official_float32", "official"),
    }
    if network.precision == "float64":
        del cases["official, authors' float32"]
    for label, (key, variant) in cases.items():
        scorer = FaceQAN(network, variant=variant)
        entries = {name: entry for name, entry in golden.items() if key in entry}
        worst_q = worst_s = 0.0
        for name, entry in entries.items():
            crop = torch.from_numpy(CROPS[NAMES.index(name)]).permute(2, 0, 1)
            noise = faceqan_noise(entry, key)
            similarities, mirror = scorer.similarities(crop, noise.to(network.dtype))
            quality = scorer.quality(similarities, mirror).item()
            worst_q = max(worst_q, abs(quality / entry[key]["Q"] - 1))
            if "S" in entry[key]:
                expected = np.reshape(entry[key]["S"], similarities.shape).tolist()
                worst_s = max(worst_s, absolute(similarities, expected))
        row(f"FaceQAN Q, {label}, {network.spec.name}", len(entries), worst_q)
        if worst_s:
            row(f"FaceQAN S, absolute, {label}, {network.spec.name}", len(entries), worst_s)


def ser_fiq(network: Backbone, row: Row) -> None:
    golden = DATA["ser_fiq"][network.spec.name]
    generator = np.random.Generator(np.random.PCG64(golden["numpy_mask_seed"]))
    kept = torch.from_numpy(generator.random((100, 25088)) >= 0.4)
    forms = {
        "score_as_coded": ("official", SerFiq(network)),
        "score_paper": ("paper", SerFiq(network, variant="paper")),
    }
    names, crops = _those_in(golden["crops"])
    for key, (label, scorer) in forms.items():
        scores = scorer.score(crops, noise=kept.expand(len(crops), -1, -1))
        difference = relative(scores, [golden["crops"][name][key] for name in names])
        row(f"SER-FIQ, {label}, {network.spec.name}", len(names), difference)


def magface(network: Backbone, row: Row) -> None:
    golden = read("magface.json")[network.spec.name.removeprefix("magface-")]["crops"]
    names, crops = _those_in(golden)
    difference = relative(MagFace(network).score(crops), [golden[n]["norm"] for n in names])
    row(f"MagFace, {network.spec.name}", len(names), difference)


def cr_fiqa(network: Backbone, row: Row) -> None:
    golden = read("crfiqa.json")[network.spec.name]["crops"]
    names, crops = _those_in(golden)
    difference = absolute(CrFiqa(network).score(crops), [golden[name]["qs"] for name in names])
    row(f"CR-FIQA, absolute, {network.spec.name}", len(names), difference)


def curricularface(network: Backbone, row: Row) -> None:
    golden = read("curricularface.json")["crops"]
    names, crops = _those_in(golden)
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2)
    embeddings = torch.cat([network(network.normalise(p[None])) for p in pixels])[:, :8]
    expected = [golden[name]["embedding_first8"] for name in names]
    row("CurricularFace embedding, absolute, ir101", len(names), absolute(embeddings, expected))


def lightqnet(network: Backbone, model: str, row: Row) -> None:
    golden = read("lightqnet.json")["crops"]
    names, crops = _those_in(golden)
    difference = absolute(LightQNet(network).score(crops), [golden[n][model] for n in names])
    row(f"LightQNet, absolute, {model}, own weights", len(names), difference)


def _those_in(golden: Mapping[str, Any]) -> tuple[list[str], np.ndarray]:
    """Names and pixels of the crops that have golden numbers."""
    names = [name for name in NAMES if name in golden]
    return names, CROPS[[NAMES.index(name) for name in names]]


if __name__ == "__main__":
    main()
