"""The predicted times: their operations are those of the networks, and the table is current."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def predict() -> ModuleType:
    path = ROOT / "benchmarks" / "cuda" / "predict.py"
    spec = importlib.util.spec_from_file_location("cuda_predict", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["cuda_predict"] = module  # its annotations are looked up there
    spec.loader.exec_module(module)
    return module


# GFLOP of one face; what fiqa_fast/benchmark/flops.py counts on the networks themselves.
EXPECTED = {
    "iresnet50": {"embedding": 12.6, "GraFIQs, b2": 21.0, "GraFIQs, all six": 25.3},
    "iresnet100": {"embedding": 24.2, "GraFIQs, b2": 40.0, "GraFIQs, all six": 48.5},
}


def test_operations(predict: ModuleType) -> None:
    for network in predict.NETWORKS:
        of_method = {
            name: sum(step.flops for step in steps) / predict.BATCH / 1e9
            for name, steps in predict.methods(network).items()
        }
        for name, gflop in EXPECTED[network.name].items():
            assert of_method[name] == pytest.approx(gflop, abs=0.05), name
        forward = of_method["embedding"]
        assert of_method["FaceQAN, k=10, l=5"] == pytest.approx(92 * forward, rel=1e-3)
        assert of_method["SER-FIQ, T=100"] == pytest.approx(
            forward + 99 * 25088 * 512 * 2 / 1e9, rel=1e-3
        )


def test_table_is_current_and_says_what_it_is(predict: ModuleType) -> None:
    committed = predict.TABLE.read_text()
    assert committed == predict.report()
    assert "PREDICTIONS" in committed
    assert "never measured" in committed
