"""One process of a small training: what the tests start, alone or several together.

    python train_tiny.py FOLDER STEPS

Several find each other by the variables that torchrun sets.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.layers.units import BatchNormUnit, ConvUnit, Stage
from fiqa_fast.training.data.synthetic import SyntheticFaces
from fiqa_fast.training.distribution import join_processes, leave_processes
from fiqa_fast.training.recipe import Recipe
from fiqa_fast.training.train_cr_fiqa import train_cr_fiqa

SPEC = BackboneSpec("tiny", "tiny", "made", "none", 16, 0.4, {})
CHANNELS = (3, 4, 6, 8, 8)


class Tiny(Backbone):
    """Four strided convolutions, and an embedding of 16 numbers."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        units = [
            ConvUnit(
                nn.Conv2d(a, b, 3, 3 if a == 3 else 2, 1, bias=False),
                nn.BatchNorm2d(b),
                nn.PReLU(b),
            )
            for a, b in pairwise(CHANNELS)
        ]
        self.units = nn.ModuleList(units)
        self.bn = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8 * 5 * 5, 16)
        self.last = nn.BatchNorm1d(16)
        first, second, third, fourth = (Stage(unit) for unit in units)
        self.stages = (first, second, third, fourth, Stage(BatchNormUnit(self.bn)))

    def embed(self, features: Tensor) -> Tensor:
        """[N, 200] -> [N, 16]."""
        return self.last(self.fc(features))


def make_backbone() -> Backbone:
    """The same weights in every process."""
    torch.manual_seed(0)
    return Tiny().prepare(torch.device("cpu"), "float32")


def main() -> None:
    folder, steps = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    processes = join_processes(torch.device("cpu"))
    faces = SyntheticFaces(identities=12, per_identity=4, seed=3)
    recipe = Recipe(
        epochs=-(-steps // 6),
        batch_size=8,
        milestone_epochs=(4,),
        learning_rate=0.02,
        synchronise_batch_norm=True,
        precision="float64",  # in float32 the rounding of sums grows from step to step
        log_every=1,
        checkpoint_every=5,
        seed=1,
    )
    train_cr_fiqa(
        faces.training_set(),
        recipe,
        folder,
        processes,
        backbone=make_backbone(),
    )
    leave_processes()


if __name__ == "__main__":
    main()
