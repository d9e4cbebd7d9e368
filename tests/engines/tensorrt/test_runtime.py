"""The engine on the stand-in for a GPU: nothing here has run on a real one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import stand_in_tensorrt
import torch
from small_graphs import PROVENANCE, inputs, run
from stand_in_cuda import StandInError, StandInStream, device_tensor, read_back
from stand_in_tensorrt import IExecutionContext

from fiqa_fast.engines.tensorrt import BatchProfile, TensorRTEngine
from fiqa_fast.errors import InvalidArgumentError, UnavailableError


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


# The profile takes 2 to 4 rows: one is filled up, 5 are two passes, 11 use each slot again.
@pytest.mark.parametrize("batch", [1, 2, 4, 5, 8, 11])
def test_any_batch(machine, batch):
    given = inputs(batch)
    with machine.load(device="cuda:1") as engine:
        assert_same(engine.run(given), run(machine.graph, given))
    machine.gpu.check()


def test_one_engine_many_batches(machine):
    with machine.load() as engine:
        for batch in (4, 11, 1, 9, 3, 12):
            given = inputs(batch, seed=batch)
            assert_same(engine.run(given), run(machine.graph, given))


def test_results_are_the_callers_own(machine):
    with machine.load() as engine:
        first = engine.run(inputs(3, seed=1))
        kept = {n: v.copy() for n, v in first.items()}
        engine.run(inputs(3, seed=2))
    assert_same(first, kept)


def test_an_empty_batch(machine):
    with machine.load() as engine:
        found = engine.run(inputs(0))
    assert {n: v.shape for n, v in found.items()} == {"raw_score": (0, 2), "embedding": (0, 4)}
    assert {v.dtype for v in found.values()} == {np.dtype(np.float32)}


def test_strided_arrays(machine):
    given = inputs(5)
    turned = {"crops": np.asfortranarray(given["crops"]), "noise": given["noise"][::-1]}
    with machine.load() as engine:
        assert_same(engine.run(turned), run(machine.graph, dict(turned)))


def test_a_fixed_batch_gives_one_row_the_same_bits_in_any_batch(make_machine):
    machine = make_machine("tensorrt", profile=BatchProfile(4, 4, 4))
    given = inputs(7)
    with machine.load() as engine:
        together = engine.run(given)
        for row in range(7):
            alone = engine.run({n: v[row : row + 1] for n, v in given.items()})
            for name, values in alone.items():
                np.testing.assert_array_equal(values[0], together[name][row])


@pytest.mark.parametrize("batch", [1, 4, 11])
def test_tensors_on_the_gpu(machine, batch):
    given = inputs(batch)
    with machine.load(device="cuda:1") as engine, torch.cuda.device("cuda:1"):
        tensors = {n: device_tensor(torch.from_numpy(v), "cuda:1") for n, v in given.items()}
        found = engine.run_tensors(tensors)
        del tensors
        assert_same({n: read_back(t).numpy() for n, t in found.items()}, run(machine.graph, given))
    machine.gpu.check()


def test_tensors_on_a_stream_of_the_caller(machine):
    given = inputs(6)
    with machine.load() as engine, torch.cuda.stream(StandInStream()):
        tensors = {n: device_tensor(torch.from_numpy(v), "cuda:0") for n, v in given.items()}
        found = engine.run_tensors(tensors)
        assert_same({n: read_back(t).numpy() for n, t in found.items()}, run(machine.graph, given))


def test_tensors_that_do_not_lie_as_tensorrt_wants_them(machine):
    given = inputs(5)
    rest = {n: v[1:] for n, v in given.items()}  # begins at an address that is not aligned
    with machine.load() as engine:
        tensors = {n: device_tensor(torch.from_numpy(v), "cuda:0")[1:] for n, v in given.items()}
        found = engine.run_tensors(tensors)
        assert_same({n: read_back(t).numpy() for n, t in found.items()}, run(machine.graph, rest))
        repeated = device_tensor(torch.from_numpy(given["noise"][:1]), "cuda:0").expand(4, 3)
        found = engine.run_tensors({"crops": tensors["crops"], "noise": repeated})
        expected = {"crops": rest["crops"], "noise": np.repeat(given["noise"][:1], 4, 0)}
        values = {n: read_back(t).numpy() for n, t in found.items()}
        assert_same(values, run(machine.graph, expected))


def test_an_empty_batch_of_tensors(machine):
    with machine.load() as engine:
        found = engine.run_tensors(
            {n: device_tensor(torch.from_numpy(v), "cuda:0") for n, v in inputs(0).items()}
        )
        assert {n: tuple(t.shape) for n, t in found.items()} == {
            "raw_score": (0, 2),
            "embedding": (0, 4),
        }


@pytest.mark.parametrize("lanes", [1, 3])
def test_threads(machine, lanes):
    batches = [(batch, seed) for seed in range(6) for batch in (1, 5, 9)]
    with machine.load(lanes=lanes) as engine, ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda b: engine.run(inputs(*b)), batches))
    for batch, values in zip(batches, found, strict=True):
        assert_same(values, run(machine.graph, inputs(*batch)))
    machine.gpu.check()


def test_lanes_run_at_once(machine, monkeypatch):
    engine = machine.load(lanes=2)
    both = threading.Barrier(2, timeout=20)
    with ThreadPoolExecutor(2) as pool:
        hold = [pool.submit(_in_a_lane, engine, both.wait) for _ in range(2)]
        assert [h.result() for h in hold]
    engine.close()


def _in_a_lane(engine, do):
    with engine._lane():
        return do() >= 0


def test_what_a_caller_gets_wrong(machine):
    given = inputs(3)
    with machine.load() as engine:
        for wrong in (
            {},
            {"crops": given["crops"]},
            {**given, "more": given["noise"]},
            {**given, "noise": given["noise"].astype(np.float64)},
            {**given, "noise": given["noise"][:2]},
            {**given, "noise": given["noise"][0]},
            {**given, "noise": np.float32(1)},
            {**given, "crops": given["crops"].transpose(0, 3, 1, 2)},
        ):
            with pytest.raises(InvalidArgumentError, match="expected inputs crops uint8"):
                engine.run({n: np.asarray(v) for n, v in wrong.items()})
        with pytest.raises(InvalidArgumentError, match=r"expected crops on cuda:0, got it on cpu"):
            engine.run_tensors({n: torch.from_numpy(v) for n, v in given.items()})
        assert_same(engine.run(given), run(machine.graph, given))


def test_a_call_that_fails_leaves_the_lane_usable(machine, monkeypatch):
    given, executed = inputs(11), []

    def fails_in_the_third_pass(self, handle, run_it=IExecutionContext.execute_async_v3):
        executed.append(handle)
        return len(executed) != 3 and run_it(self, handle)

    monkeypatch.setattr(IExecutionContext, "execute_async_v3", fails_in_the_third_pass)
    with machine.load() as engine:
        with pytest.raises(UnavailableError, match="expected the plan to run on cuda:0, got"):
            engine.run(given)
        assert_same(engine.run(given), run(machine.graph, given))
    machine.gpu.check()


def test_shapes_that_the_library_refuses(machine, monkeypatch):
    monkeypatch.setattr(IExecutionContext, "set_input_shape", lambda self, name, shape: False)
    with (
        machine.load() as engine,
        pytest.raises(UnavailableError, match=r"expected crops to take \[4, 8, 8, 3\]"),
    ):
        engine.run(inputs(4))


def test_what_there_is_to_know(machine):
    with machine.load() as engine:
        assert engine.record.provenance == PROVENANCE
        assert [str(s) for s in engine.inputs] == [
            "crops uint8 [B, 8, 8, 3]",
            "noise float32 [B, 3]",
        ]
        assert [s.name for s in engine.outputs] == ["raw_score", "embedding"]


def test_closing(machine):
    engine = machine.load(lanes=2)
    engine.run(inputs(2))
    engine.close()
    engine.close()
    with pytest.raises(UnavailableError, match="got a closed one"):
        engine.run(inputs(2))
    machine.gpu.check()


def test_closing_waits_for_calls_and_refuses_those_that_wait(machine):
    engine = machine.load()
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with engine._lane():
            inside.set()
            assert leave.wait(20)

    with ThreadPoolExecutor(3) as pool:
        holding = pool.submit(hold)
        assert inside.wait(20)
        closing = pool.submit(engine.close)
        assert not closing.done()
        leave.set()
        holding.result(20)
        closing.result(20)
        with pytest.raises(UnavailableError, match="closed"):
            engine.run_tensors(
                {n: device_tensor(torch.from_numpy(v), "cuda:0") for n, v in inputs(1).items()}
            )


# Loading


def test_a_gpu_that_the_plan_was_not_built_for(machine):
    machine.gpu.capability = (9, 0)
    with pytest.raises(UnavailableError, match=r"expected a GPU with SM.*got SM90; build the plan"):
        machine.load()


def test_a_gpu_that_is_not_there(machine):
    with pytest.raises(UnavailableError, match="expected one of 2 GPUs, got cuda:2"):
        machine.load(device="cuda:2")


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_devices_that_are_none(machine, device):
    with pytest.raises(InvalidArgumentError, match="expected device to be 'cuda' or 'cuda:N'"):
        machine.load(device=device)


def test_no_gpu(machine, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnavailableError, match="expected an NVIDIA GPU that torch can use"):
        machine.load()


def test_another_version_of_the_library(machine, monkeypatch):
    name = machine.flavour.replace("-", "_")
    module = __import__("sys").modules[name]
    monkeypatch.setattr(module, "__version__", "10.99.1")
    with pytest.raises(UnavailableError, match=r"the version that built the plan, .* got 10.99.1"):
        machine.load()


def test_a_plan_that_the_library_does_not_take(machine, monkeypatch):
    """The library returns None where it should raise."""
    monkeypatch.setattr(stand_in_tensorrt.Runtime, "_graph", staticmethod(lambda plan: None))
    with pytest.raises(UnavailableError, match=r"to load on cuda:0, got: .*Magic tag") as error:
        machine.load()
    assert ("malformed engine" in str(error.value)) == (machine.flavour == "tensorrt-rtx")


def test_too_little_memory_for_a_context(machine, monkeypatch):
    monkeypatch.setattr(stand_in_tensorrt.ICudaEngine, "_context", lambda self, config=None: None)
    with pytest.raises(UnavailableError, match="expected memory on cuda:0 for 2 contexts"):
        machine.load(lanes=2)


def test_lanes(machine):
    with pytest.raises(InvalidArgumentError, match="expected lanes >= 1, got 0"):
        machine.load(lanes=0)


def test_tensors_that_numpy_lacks(machine, monkeypatch):
    monkeypatch.setattr(
        stand_in_tensorrt.ICudaEngine,
        "get_tensor_dtype",
        lambda self, name: stand_in_tensorrt.DataType.BF16,
    )
    with pytest.raises(UnavailableError, match=r"got crops, BF16 \[B, 8, 8, 3\]"):
        machine.load()


# The stand-in itself


def test_the_stand_in_gives_garbage_before_a_wait(gpu):
    tensor = torch.empty((2,), dtype=torch.float32, pin_memory=True)
    assert np.isnan(tensor.numpy()).all()


def test_the_stand_in_knows_what_it_knows(gpu):
    with pytest.raises(StandInError, match="has no add"):
        device_tensor(torch.zeros(2), "cuda:0") + 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a driver")
def test_the_real_library_without_a_driver(real_plan, gpu):
    """torch is told that there is a GPU; the library returns None and says why."""
    with pytest.raises(UnavailableError, match=r"to load on cuda:0, got: .*CUDA driver version"):
        TensorRTEngine(real_plan)
