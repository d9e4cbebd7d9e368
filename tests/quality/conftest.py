"""Fabricated reference sets."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fiqa_fast.quality.reference import ReferenceScores
from fiqa_fast.quality.source import ScoreSource


def _source(**changes: Any) -> ScoreSource:
    fields = {
        "scorer": "grafiqs",
        "output": "b2",
        "variant": "official",
        "parameters": '{"k": 3}',
        "backbone": "sface",
        "weights_sha256": "ab" * 32,
        "bn_statistics": "training",
        "higher_is_better": True,
    }
    return ScoreSource(**(fields | changes))


def _reference(raw_scores: Any, *, paths: Any = None, **changes: Any) -> ReferenceScores:
    raw = np.asarray(raw_scores, dtype=np.float64)
    named = [f"{i}.jpg" for i in range(len(raw))] if paths is None else paths
    return ReferenceScores(_source(**changes), tuple(named), raw, "0.1.0")


@pytest.fixture
def make_source() -> Callable[..., ScoreSource]:
    """A source of scores; fields that differ from the usual."""
    return _source


@pytest.fixture
def make_reference() -> Callable[..., ReferenceScores]:
    """Raw scores -> a reference set of the images 0.jpg, 1.jpg, ...; fields of its source."""
    return _reference
