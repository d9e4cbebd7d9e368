from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def golden() -> Path:
    return TESTS / "golden"


@pytest.fixture(scope="session")
def alignments(golden: Path) -> list[dict[str, Any]]:
    """Landmarks and matrices of the example photographs, measured with OpenCV 5.0.0."""
    return json.loads((golden / "alignment.json").read_text())["alignments"]


@pytest.fixture(scope="session")
def photos() -> Path:
    return TESTS.parent / "examples" / "faces"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)
