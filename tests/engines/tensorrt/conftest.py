"""Graphs, real plans of TensorRT-RTX, and the stand-in for a GPU."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # stand_in_cuda, stand_in_tensorrt, small_graphs

import small_graphs
import stand_in_cuda
import stand_in_tensorrt

from fiqa_fast.engines.tensorrt import BatchProfile, TensorRTEngine, build_engine
from fiqa_fast.engines.tensorrt.plan_file import record_path

PROFILE = BatchProfile(min=2, opt=3, max=4)
FLAVOURS = ("tensorrt", "tensorrt-rtx")


@pytest.fixture(scope="session")
def rtx() -> Any:
    return pytest.importorskip("tensorrt_rtx")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Two inputs, two outputs; rows of 12 and 8 bytes, which are not aligned."""
    path = tmp_path / "graph.onnx"
    onnx.save(small_graphs.scorer(), path)
    return path


@pytest.fixture(scope="session")
def real_plan(rtx: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of `graph` that TensorRT-RTX built."""
    folder = tmp_path_factory.mktemp("real_plan")
    onnx.save(small_graphs.scorer(), folder / "graph.onnx")
    build_engine(
        folder / "graph.onnx",
        folder / "graph.plan",
        flavour="tensorrt-rtx",
        profile=PROFILE,
        compute_capabilities=["SM75", "SM86"],
    )
    return folder / "graph.plan"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> stand_in_cuda.StandInGpu:
    """Two GPUs with compute capability 8.6, for torch; TensorRT 10 is installed."""
    gpu = stand_in_cuda.StandInGpu()
    stand_in_cuda.install(monkeypatch, gpu)
    module = stand_in_tensorrt.make_module("tensorrt", "10.13.3")
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return gpu


@dataclasses.dataclass
class Machine:
    """A plan, and a machine that can load it."""

    flavour: str
    plan: Path
    graph: Path
    gpu: stand_in_cuda.StandInGpu

    def load(self, make: Callable[..., TensorRTEngine] = TensorRTEngine, **options: Any) -> Any:
        return make(self.plan, **options)


@pytest.fixture
def make_machine(
    tmp_path: Path, graph: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[..., Machine]:
    """Builds a plan of a flavour (of TensorRT-RTX a real one) and puts the stand-in in place."""

    def make(flavour: str, *, profile: BatchProfile = PROFILE, refittable: bool = False) -> Machine:
        plan = tmp_path / "graph.plan"
        if flavour == "tensorrt":
            gpu = request.getfixturevalue("gpu")
            build_engine(graph, plan, flavour="tensorrt", profile=profile, refittable=refittable)
            return Machine(flavour, plan, graph, gpu)
        version = request.getfixturevalue("rtx").__version__
        real = request.getfixturevalue("real_plan")
        for name in (plan.name, record_path(plan).name):
            shutil.copy(real.with_name(name), tmp_path)
        stand_in_tensorrt.know_plan(
            plan.read_bytes(), graph.read_bytes(), profile.sizes, refittable
        )
        gpu = request.getfixturevalue("gpu")
        module = stand_in_tensorrt.make_module("tensorrt_rtx", version)
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", module)
        return Machine(flavour, plan, graph, gpu)

    return make


@pytest.fixture(params=FLAVOURS)
def machine(make_machine: Callable[..., Machine], request: pytest.FixtureRequest) -> Machine:
    return make_machine(request.param)
