from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.synthetic import SyntheticFaces

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tiny_backbone() -> Callable[[], Backbone]:
    """Makes a network of four small convolutions."""
    from train_tiny import make_backbone

    return make_backbone


@pytest.fixture(scope="session")
def drawn_faces() -> TrainingSet:
    """Six drawn people, eight samples of each."""
    faces = SyntheticFaces(identities=6, per_identity=8, seed=5).training_set()
    drawn = [faces.read(position) for position in range(faces.count)]
    return replace(faces, read=drawn.__getitem__)
