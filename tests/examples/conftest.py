"""Loads the example scripts, which are no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"examples.{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def degradation_ladder() -> ModuleType:
    return _load("degradation_ladder")


@pytest.fixture(scope="session")
def ladder_spearman() -> ModuleType:
    return _load("ladder_spearman")


@pytest.fixture(scope="session")
def faces() -> Path:
    return EXAMPLES / "faces"
