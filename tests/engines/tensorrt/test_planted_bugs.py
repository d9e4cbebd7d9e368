"""The stand-in finds mistakes: each planted bug must make the scenarios fail.

A runtime that never ran on a GPU is worth as much as what checks it. So lines whose absence would
give wrong numbers, always or now and then, are taken out or turned round here (`planted_bugs.py`).
"""

from __future__ import annotations

import importlib
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import small_graphs
import torch
from planted_bugs import BUGS, Bug
from stand_in_cuda import StandInStream, device_tensor, read_back
from stand_in_tensorrt import IExecutionContext, Runtime

import fiqa_fast.engines.tensorrt as package
from fiqa_fast.errors import UnavailableError

# Shared by all: a call that waits for ever must fail, not hang.
TIMEOUT_S = 20


@pytest.fixture
def other_weights(tmp_path: Path) -> Path:
    path = tmp_path / "other_weights.onnx"
    onnx.save(small_graphs.scorer(seed=9), path)
    return path


def scenarios(machine, engine_class, other_weights, monkeypatch):
    """What callers do, with every result compared; raises where anything is wrong."""
    gpu = machine.gpu
    expected = {b: small_graphs.run(machine.graph, small_graphs.inputs(b)) for b in (1, 3, 5, 11)}
    engine = engine_class(machine.plan, device="cuda:1", lanes=2)
    for batch in (3, 1, 11, 5, 11):
        _same(engine.run(small_graphs.inputs(batch)), expected[batch])

    with ThreadPoolExecutor(4) as pool:
        batches = [11, 3, 5, 1] * 4
        calls = [pool.submit(engine.run, small_graphs.inputs(b)) for b in batches]
        for batch, call in zip(batches, calls, strict=True):
            _same(call.result(TIMEOUT_S), expected[batch])

    for batch in (1, 5, 11):
        with torch.cuda.stream(StandInStream("cuda:1")):
            found = engine.run_tensors(_on_gpu(small_graphs.inputs(batch)))
            _same({n: read_back(t).numpy() for n, t in found.items()}, expected[batch])
    given = {n: np.repeat(v, 2, 0) for n, v in small_graphs.inputs(5).items()}
    every_row = _on_gpu(given)  # not aligned, and not contiguous:
    every_row["noise"] = device_tensor(torch.from_numpy(given["noise"][:1]), "cuda:1").expand(10, 3)
    given["noise"] = np.repeat(given["noise"][:1], 10, 0)
    found = engine.run_tensors({n: t[1:] for n, t in every_row.items()})
    del every_row
    rest = {n: v[1:] for n, v in given.items()}
    _same(
        {n: read_back(t).numpy() for n, t in found.items()}, small_graphs.run(machine.graph, rest)
    )

    # The third of three passes fails; the next call finds the lane as it should be.
    executed = []

    def third_fails(self, handle, execute=IExecutionContext.execute_async_v3):
        executed.append(handle)
        return len(executed) != 3 and execute(self, handle)

    with monkeypatch.context() as patch:
        patch.setattr(IExecutionContext, "execute_async_v3", third_fails)
        with pytest.raises(UnavailableError):
            engine.run(small_graphs.inputs(11))
    for _ in range(2):
        _same(engine.run(small_graphs.inputs(11)), expected[11])

    # New weights while results of the old ones are still to be computed.
    with torch.cuda.device("cuda:1"):
        old = engine.run_tensors(_on_gpu(small_graphs.inputs(3)))
    engine.refit(other_weights)
    with torch.cuda.device("cuda:1"):
        _same({n: read_back(t).numpy() for n, t in old.items()}, expected[3])
    _same(
        engine.run(small_graphs.inputs(3)),
        small_graphs.run(other_weights, small_graphs.inputs(3)),
    )
    with torch.cuda.device("cuda:1"):
        engine.run_tensors(_on_gpu(small_graphs.inputs(3)))
    engine.close()
    del engine
    gpu.check()

    # A plan that the library does not take.
    with monkeypatch.context() as patch:
        patch.setattr(Runtime, "_graph", staticmethod(lambda plan: None))
        with pytest.raises(UnavailableError):
            engine_class(machine.plan)


def _on_gpu(given):
    return {n: device_tensor(torch.from_numpy(v), "cuda:1") for n, v in given.items()}


def _same(found, expected):
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)


@pytest.fixture
def machine(make_machine):
    return make_machine("tensorrt", refittable=True)


def test_without_a_bug(machine, other_weights, monkeypatch):
    scenarios(machine, package.TensorRTEngine, other_weights, monkeypatch)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug, machine, other_weights, monkeypatch):
    engine_class = _with_bug(bug, monkeypatch)
    with pytest.raises(BaseException) as found:
        scenarios(machine, engine_class, other_weights, monkeypatch)
    said = " ".join(f"{type(found.value).__name__} {found.value}".split())
    assert re.search(bug.finds, said), said


def _with_bug(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> type:
    original = importlib.import_module(f"{package.__name__}.{bug.file}")
    source = Path(original.__file__).read_text(encoding="utf-8")
    for old, new in bug.edits:
        assert source.count(old) == 1, f"{old!r} stands there {source.count(old)} times"
        source = source.replace(old, new)
    changed = ModuleType(f"{original.__name__}_with_a_bug")
    changed.__file__ = original.__file__
    monkeypatch.setitem(sys.modules, changed.__name__, changed)
    exec(compile(source, original.__file__, "exec"), vars(changed))
    runtime = importlib.import_module(f"{package.__name__}.runtime")
    if bug.file == "runtime":
        return changed.TensorRTEngine
    if bug.file == "lane":
        monkeypatch.setattr(runtime, "Lane", changed.Lane)
    else:
        monkeypatch.setattr(runtime, bug.file, changed)
    return runtime.TensorRTEngine
