"""The stand-in finds mistakes: each planted bug must make the scenarios fail.

A runtime that never ran on a GPU is worth as much as what checks it. Every line whose absence would
give wrong numbers, or now and then, is taken out or turned round here.
"""

from __future__ import annotations

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import small_graphs
import torch
from stand_in_cuda import StandInStream, device_tensor, read_back
from stand_in_tensorrt import IExecutionContext, Runtime

import fiqa_fast.engines.tensorrt as package
from fiqa_fast.errors import UnavailableError

# Shared by all: a call that waits for ever must fail, not hang.
TIMEOUT_S = 20


class Bug(NamedTuple):
    """In the module `file`, `old`, which stands there once, becomes `new`."""

    name: str
    file: str
    old: str
    new: str


BUGS = [
    Bug("the engine does not wait for its inputs", "lane", "self._compute.wait_event(slot.uploaded)", "pass"),
    Bug("the event of the inputs is recorded too early", "lane",
        "            for name, tensor in given.items():\n                tensor.copy_",
        "            slot.uploaded.record(self._upload)\n            for name, tensor in given.items():\n                tensor.copy_"),
    Bug("inputs are copied on the host's current stream", "lane",
        "with torch.cuda.stream(self._upload):", "if True:"),
    Bug("results are read before they are there", "lane", "slot.done.synchronize()", "pass"),
    Bug("the event of the results is recorded too early", "lane",
        "            for name, tensor in made.items():\n                slot.host",
        "            slot.done.record(self._compute)\n            for name, tensor in made.items():\n                slot.host"),
    Bug("results are copied on another stream", "lane",
        "with torch.cuda.stream(self._compute):\n            for", "if True:\n            for"),
    Bug("a slot is used again too early", "lane", "if len(running) == _SLOTS:", "if False:"),
    Bug("one slot for two passes", "lane", "self._slot(number % _SLOTS)", "self._slot(0)"),
    Bug("buffers in memory that is not pinned", "lane", "pin_memory=True", "pin_memory=False"),
    Bug("copies that block", "lane",
        "tensor.copy_(slot.host[name][:size], non_blocking=True)",
        "tensor.copy_(slot.host[name][:size])"),
    Bug("a batch is not cut", "lane", "step = self._profile.max", "step = batch"),
    Bug("passes overlap by a row", "lane",
        "slice(i, min(i + step, batch))", "slice(i, min(i + step + 1, batch))"),
    Bug("a small batch is not filled up", "lane",
        "        size = max(rows, self._profile.min)\n        for", "        size = rows\n        for"),
    Bug("rows that fill a batch up stay as they were", "lane",
        "pinned[rows:size] = array[-1]", "pinned[0] = array[-1]"),
    Bug("a shape is not set", "lane",
        "self._demand(context.set_input_shape(name, tuple(tensor.shape)), name, tensor)", "pass"),
    Bug("a refused shape goes unnoticed", "lane",
        "self._demand(context.set_input_shape(name, tuple(tensor.shape)), name, tensor)",
        "context.set_input_shape(name, tuple(tensor.shape[:1]))"),
    Bug("shapes as torch's, not as tuples of whole numbers", "lane",
        "context.set_input_shape(name, tuple(tensor.shape))",
        "context.set_input_shape(name, str(tensor.shape))"),
    Bug("addresses before shapes", "lane",
        "        for name, tensor in given.items():\n            self._demand(context.set_input",
        "        for name, tensor in made.items():\n"
        "            context.set_tensor_address(name, tensor.data_ptr())\n"
        "        for name, tensor in given.items():\n            self._demand(context.set_input"),
    Bug("outputs without an address", "lane", "(*given.items(), *made.items())", "given.items()"),
    Bug("inputs without an address", "lane", "(*given.items(), *made.items())", "made.items()"),
    Bug("addresses of the first pass for all", "lane",
        "self._demand(context.set_tensor_address(name, tensor.data_ptr()), name, tensor)",
        "self.__dict__.setdefault('set', set())\n"
        "            if (name, tensor.shape) not in self.set:\n"
        "                context.set_tensor_address(name, tensor.data_ptr())\n"
        "            self.set.add((name, tensor.shape))"),
    Bug("the address of a tensor's first row", "lane",
        "given = {s.name: _readable(tensors[s.name][rows], size) for s in self._inputs}",
        "given = {s.name: _readable(tensors[s.name][: rows.stop - rows.start], size)"
        " for s in self._inputs}"),
    Bug("the engine on the default stream", "lane",
        "execute_async_v3(self._compute.cuda_stream)",
        "execute_async_v3(torch.cuda.current_stream(self._device).cuda_stream)"),
    Bug("the engine on the stream of the copies", "lane",
        "execute_async_v3(self._compute.cuda_stream)", "execute_async_v3(self._upload.cuda_stream)"),
    Bug("a refused call goes unnoticed", "lane",
        "if not context.execute_async_v3(self._compute.cuda_stream):",
        "if context.execute_async_v3(0):"),
    Bug("tensors: the engine does not wait for the caller", "lane",
        "self._compute.wait_stream(caller)", "pass"),
    Bug("tensors: the caller does not wait for the engine", "lane",
        "caller.wait_stream(self._compute)", "pass"),
    Bug("tensors: the caller waits before the engine began", "lane",
        "        passes = []\n", "        passes = []\n        caller.wait_stream(self._compute)\n        caller = StandIn = type('', (), {'wait_stream': lambda *_: None})() if False else caller\n"),
    Bug("tensors: memory goes back to the caller's stream", "lane",
        "tensor.record_stream(self._compute)", "pass"),
    Bug("tensors: any strides", "lane", "tensor = tensor.contiguous()", "pass"),
    Bug("tensors: any address", "lane",
        "return tensor if tensor.data_ptr() % _ALIGNMENT_BYTES == 0 else tensor.clone()",
        "return tensor"),
    Bug("tensors: a small batch is not filled up", "lane",
        "size = max(rows.stop - rows.start, self._profile.min)", "size = rows.stop - rows.start"),
    Bug("tensors: results keep the rows that filled a batch up", "lane",
        "t[: rows.stop - rows.start] for n, t", "t for n, t"),
    Bug("tensors: passes in the wrong order", "lane", "for p in passes]", "for p in passes[::-1]]"),
    Bug("a failed call leaves copies under way", "lane",
        "            self.wait()  # nothing may still use the buffers when the next call comes\n", ""),
    Bug("waiting for half of the work", "lane", "        self._compute.synchronize()\n\n    def release",
        "\n    def release"),
    Bug("contexts outlive the engine", "lane", "        self._context = None\n", ""),
    Bug("one context for all threads", "runtime",
        "            self._free.put(lane)\n\n    @contextmanager",
        "            pass\n\n    @contextmanager"),
    Bug("calls share lanes", "runtime", "        lane = self._free.get()\n        try:",
        "        lane = self._free.queue[0]\n        self._free.put(lane)\n        try:"),
    Bug("a call on whatever device is current", "runtime",
        "            with torch.cuda.device(self._device):\n                yield lane\n",
        "            yield lane\n"),
    Bug("loaded on whatever device is current", "runtime",
        "        with torch.cuda.device(self._device):\n            self._runtime",
        "        if True:\n            self._runtime"),
    Bug("new weights while calls run", "runtime",
        "        with self._all_lanes():\n            self._require_open()\n            refit",
        "        if True:\n            refit"),
    Bug("new weights while the GPU still computes", "runtime",
        "                for lane in lanes:\n                    lane.wait()\n", ""),
    Bug("the engine goes before the runtime's lanes", "runtime",
        "                for lane in lanes:\n                    lane.release()\n", ""),
    Bug("None instead of an engine", "runtime", "if self._engine is None:", "if False:"),
    Bug("new weights that are not applied", "refit", "or not refitter.refit_cuda_engine()", ""),
]


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
    _same({n: read_back(t).numpy() for n, t in found.items()}, small_graphs.run(machine.graph, rest))

    # The third of three passes fails; the next call finds the lane as it should be.
    executed = []

    def third_fails(self, handle, execute=IExecutionContext.execute_async_v3):
        executed.append(handle)
        return len(executed) != 3 and execute(self, handle)

    with monkeypatch.context() as patch, pytest.raises(UnavailableError):
        patch.setattr(IExecutionContext, "execute_async_v3", third_fails)
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
    with monkeypatch.context() as patch, pytest.raises(UnavailableError):
        patch.setattr(Runtime, "_graph", staticmethod(lambda plan: None))
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
    with pytest.raises(BaseException) as found:  # noqa: PT011 - whatever it is, it was found
        scenarios(machine, engine_class, other_weights, monkeypatch)
    print("FOUND", bug.name, "->", type(found.value).__name__, str(found.value)[:160])
    assert not isinstance(found.value, SyntaxError | NameError), "the bug itself is written wrongly"


def _with_bug(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> type:
    original = importlib.import_module(f"{package.__name__}.{bug.file}")
    source = Path(original.__file__).read_text(encoding="utf-8")
    assert source.count(bug.old) == 1, f"{bug.name}: stands there {source.count(bug.old)} times"
    changed = ModuleType(f"{original.__name__}_with_a_bug")
    changed.__file__ = original.__file__
    monkeypatch.setitem(sys.modules, changed.__name__, changed)
    exec(compile(source.replace(bug.old, bug.new), original.__file__, "exec"), vars(changed))
    runtime = importlib.import_module(f"{package.__name__}.runtime")
    if bug.file == "runtime":
        return changed.TensorRTEngine
    if bug.file == "lane":
        monkeypatch.setattr(runtime, "Lane", changed.Lane)
    else:
        monkeypatch.setattr(runtime, bug.file, changed)
    return runtime.TensorRTEngine
