"""Other weights into a loaded engine, on the stand-in; and the runtime cache of TensorRT-RTX."""

import json

import onnx
import pytest
import small_graphs
import stand_in_tensorrt

from fiqa_fast.engines.tensorrt import BatchProfile
from fiqa_fast.errors import InvalidArgumentError, UnavailableError


@pytest.fixture
def machine(make_machine):
    return make_machine("tensorrt", refittable=True)


def other(tmp_path, **change):
    path = tmp_path / "other.onnx"
    onnx.save(small_graphs.scorer(**change), path)
    return path


def test_new_weights(machine, tmp_path):
    given, weights = small_graphs.inputs(5), other(tmp_path, seed=3)
    with machine.load(lanes=2) as engine:
        before = engine.record
        engine.refit(weights)
        found = engine.run(given)["raw_score"]
        assert found == pytest.approx(small_graphs.run(weights, given)["raw_score"], rel=1e-5)
        assert engine.record.onnx_sha256 != before.onnx_sha256
        assert engine.record.structure_sha256 == before.structure_sha256
        assert engine.record.provenance == small_graphs.PROVENANCE


def test_another_architecture(machine, tmp_path):
    with machine.load() as engine:
        with pytest.raises(InvalidArgumentError, match="of another architecture; build a plan"):
            engine.refit(other(tmp_path, features=5))
        engine.run(small_graphs.inputs(2))


def test_a_plan_that_takes_no_other_weights(make_machine, tmp_path):
    with (
        make_machine("tensorrt").load() as engine,
        pytest.raises(InvalidArgumentError, match=r"expected a refittable plan.*refittable=True"),
    ):
        engine.refit(other(tmp_path, seed=3))


@pytest.mark.parametrize(
    ("class_", "method"),
    [("OnnxParserRefitter", "refit_from_bytes"), ("Refitter", "refit_cuda_engine")],
)
def test_a_refusal(machine, tmp_path, monkeypatch, class_, method):
    monkeypatch.setattr(getattr(stand_in_tensorrt, class_), method, lambda *_: False)
    with (
        machine.load() as engine,
        pytest.raises(UnavailableError, match=r"expected to refit the engine with .*load the plan"),
    ):
        engine.refit(other(tmp_path, seed=3))


def test_a_closed_engine(machine, tmp_path):
    engine = machine.load()
    engine.close()
    with pytest.raises(UnavailableError, match="closed"):
        engine.refit(other(tmp_path, seed=3))


def test_compiled_kernels_are_kept(make_machine, tmp_path):
    machine = make_machine("tensorrt-rtx")
    cache = tmp_path / "folder" / "runtime.cache"
    for calls in (1, 2):
        with machine.load(runtime_cache=cache) as engine:
            engine.run(small_graphs.inputs(3))
        assert len(json.loads(cache.read_text())) == calls
    cache.write_text("of another GPU")
    with machine.load(runtime_cache=cache) as engine:
        engine.run(small_graphs.inputs(3))
    assert len(json.loads(cache.read_text())) == 1


def test_kernels_are_compiled_before_they_are_needed(make_machine):
    machine = make_machine("tensorrt-rtx")
    with machine.load() as engine:
        config = engine._free.queue[0]._context.runtime_config
        strategy = config.dynamic_shapes_kernel_specialization_strategy
        assert strategy == stand_in_tensorrt.DynamicShapesKernelSpecializationStrategy.EAGER
        assert config.cache is None
        del config


def test_runtime_caches_that_are_none(make_machine, tmp_path):
    machine = make_machine("tensorrt-rtx")
    with pytest.raises(InvalidArgumentError, match="expected runtime_cache to be a file"):
        machine.load(runtime_cache=tmp_path)


def test_tensorrt_has_no_runtime_cache(machine, tmp_path):
    with pytest.raises(InvalidArgumentError, match="expected runtime_cache=None"):
        machine.load(runtime_cache=tmp_path / "cache")


def test_profiles_stay(machine):
    with machine.load() as engine:
        assert engine.record.profile == BatchProfile(2, 3, 4)
