from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def faces() -> Path:
    """The example photographs."""
    return Path(__file__).parents[2] / "examples" / "faces"
