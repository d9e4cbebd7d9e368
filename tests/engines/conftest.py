"""Graphs that several tests look at, made once."""

from collections.abc import Callable
from typing import Any

import onnx
import pytest

from fiqa_fast.backbones.layers.heads import CrFiqaHead
from fiqa_fast.engines.onnx_file import to_onnx
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.scorers.registry import create_scorer


@pytest.fixture(scope="session", autouse=True)
def _graph_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Traced graphs of these tests go nowhere else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIQA_FAST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def scorer_of(sface32: Any, recipe_backbone: Any, golden_dir: Any) -> Callable[[str], Scorer]:
    """Small scorers by name, on the engine reference."""
    made: dict[str, Scorer] = {}

    def make(name: str) -> Scorer:
        if name not in made:
            made[name] = _make(name)
        return made[name]

    def _make(name: str) -> Scorer:
        common: dict[str, Any] = {"engine": "reference"}
        if name == "faceqan":
            return create_scorer(name, backbone=sface32, k=2, l=2, **common)
        if name == "ser-fiq":
            return create_scorer(name, backbone=sface32, T=6, **common)
        if name == "lightqnet":
            weights = golden_dir / "lightqnet" / "lightqnet-dm025.pb"
            return create_scorer(name, weights=weights, **common)
        if name == "cr-fiqa":
            network = recipe_backbone("iresnet18", head=CrFiqaHead(512))
            return create_scorer(name, backbone=network, **common)
        if name == "norm-sphereface4":
            return create_scorer(
                "embedding-norm", backbone=recipe_backbone("sphereface4"), **common
            )
        return create_scorer(name, backbone=sface32, **common)

    return make


@pytest.fixture(scope="session")
def graph_of(scorer_of: Callable[[str], Scorer]) -> Callable[[str], onnx.ModelProto]:
    """The graphs of those scorers."""
    made: dict[str, onnx.ModelProto] = {}

    def make(name: str) -> onnx.ModelProto:
        if name not in made:
            made[name] = to_onnx(scorer_of(name), with_embedding=name == "embedding-norm")
        return made[name]

    return make
