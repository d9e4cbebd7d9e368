"""Golden data and networks that many tests share."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.registry import load_backbone

GOLDEN = Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))
import golden_recipe  # noqa: E402 (stands beside the data that it belongs to)

# A busy machine is slow, not wrong. Continuous integration tries the same examples on each run:
# what a new example finds belongs to whoever looks for it, not to an unrelated change.
hypothesis.settings.register_profile(
    "fiqa_fast",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("fiqa_fast")

FACES = Path(__file__).parents[1] / "examples" / "faces"


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def faces_dir() -> Path:
    return FACES


@pytest.fixture(scope="session")
def crop_names() -> list[str]:
    """The canonical order of the golden crops."""
    listed = json.loads((GOLDEN / "crops.json").read_text())["crops"]
    return [Path(entry["file"]).name for entry in listed]


@pytest.fixture(scope="session")
def crops(crop_names: list[str]) -> np.ndarray:
    """All golden crops, uint8 RGB [18, 112, 112, 3]."""
    return np.stack([np.asarray(Image.open(GOLDEN / "crops" / name)) for name in crop_names])


@pytest.fixture(scope="session")
def golden_sface() -> dict[str, Any]:
    return json.loads((GOLDEN / "sface.json").read_text())


@pytest.fixture(scope="session")
def sface32() -> Backbone:
    return load_backbone("sface", precision="float32", device="cpu")


@pytest.fixture(scope="session")
def sface64() -> Backbone:
    return load_backbone("sface", precision="float64", device="cpu")


@pytest.fixture(scope="session")
def recipe_state_dict() -> Callable[[Mapping[str, torch.Size]], dict[str, Tensor]]:
    """Makes the golden weights for given keys and shapes."""
    return golden_recipe.state_dict


@pytest.fixture(scope="session")
def recipe_backbone() -> Callable[..., Backbone]:
    """Makes a network (and its head) with the golden weights: (name, precision, head)."""
    return golden_recipe.backbone
