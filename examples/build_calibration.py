"""Builds calibrations (raw score -> quality 0..100) from a folder of aligned reference crops.

    python examples/build_calibration.py results/ladder-crops -o fiqa_fast/calibrations/sface.json \
        --reference-set "six example photographs and their degradation ladder"

Every scorer in both of its variants, with its default parameters, all outputs. The packaged
calibration of SFace was made by the command above: 186 crops of six people. That is enough to put a
score on a readable scale, and far too few to compare with other people's thresholds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.calibration import Calibration, fit_percentiles, to_json
from fiqa_fast.images.align import resize_crop
from fiqa_fast.images.decode import decode_image
from fiqa_fast.images.sources import find_images
from fiqa_fast.scorers.registry import create_scorer, list_scorers
from fiqa_fast.types import UInt8Array


def load_crops(folder: str) -> UInt8Array:
    """Reads every image below a folder as a crop: [N, 112, 112, 3]."""
    return np.stack([resize_crop(decode_image(path)).crop for path in find_images([folder])])


def calibrate(crops: UInt8Array, network: Backbone, reference_set: str) -> list[Calibration]:
    """Scores the crops with every method and fits the percentiles of each output."""
    calibrations = []
    for spec in list_scorers():
        for variant in spec.variants or ("official",):
            scorer = create_scorer(spec.name, backbone=network, variant=variant)
            for output, scores in scorer.score_all(crops).items():
                fitted = fit_percentiles(scorer, output, scores.tolist(), reference_set)
                calibrations.append(fitted)
                print(f"{spec.name} {output}, {variant}: {len(scores)} crops", flush=True)
    return calibrations


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("crops", help="folder of aligned crops")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--reference-set", required=True, help="what the crops are, in words")
    parser.add_argument("--backbone", default="sface")
    arguments = parser.parse_args()
    network = load_backbone(arguments.backbone, device="cpu")
    calibrations = calibrate(load_crops(arguments.crops), network, arguments.reference_set)
    arguments.output.write_text(to_json(calibrations), encoding="utf-8")


if __name__ == "__main__":
    main()
