"""Builds: of TensorRT-RTX real ones, ahead of time; of TensorRT against the stand-in."""

import json
import re
import sys

import onnx
import pytest
import small_graphs
import torch
from onnx import TensorProto, helper

from fiqa_fast.engines.tensorrt import BatchProfile, build_engine, read_record
from fiqa_fast.engines.tensorrt.plan_file import read_plan
from fiqa_fast.engines.tensorrt.targets import DEFAULT
from fiqa_fast.errors import InvalidArgumentError, UnavailableError


def in_bfloat16(path):
    """`small_graphs.scorer` in bfloat16, its outputs in float32."""
    model = small_graphs.scorer()
    bfloat16 = TensorProto.BFLOAT16
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(helper.make_tensor(tensor.name, bfloat16, values.shape, values.flatten()))
    nodes = list(model.graph.node)
    nodes[1].attribute[0].i = bfloat16
    nodes.insert(0, helper.make_node("Cast", ["noise"], ["short_noise"], to=bfloat16))
    for node in nodes:
        renamed = {"raw_score": "short_score", "embedding": "short_embedding"}
        if node.op_type == "MatMul":
            node.input[0] = "short_noise"
        node.input[:] = [renamed.get(n, n) for n in node.input]
        node.output[:] = [renamed.get(n, n) for n in node.output]
    for name in ("score", "embedding"):
        output = {"score": "raw_score"}.get(name, name)
        nodes.append(helper.make_node("Cast", [f"short_{name}"], [output], to=TensorProto.FLOAT))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)
    return path


# TensorRT-RTX


def test_a_plan_for_every_gpu_but_the_oldest(rtx, graph, tmp_path):
    record = build_engine(graph, tmp_path / "all.plan", flavour="tensorrt-rtx")
    assert record.compute_capabilities == DEFAULT
    assert DEFAULT == ("SM80", "SM86", "SM89", "SM120", "SM121")
    assert record == read_record(tmp_path / "all.plan")
    assert record.provenance == small_graphs.PROVENANCE
    assert (record.flavour, record.version) == ("tensorrt-rtx", rtx.__version__)
    assert record.profile == BatchProfile(1, 8, 32)
    assert record.number_formats == ("float32",)
    assert (record.turing, record.refittable, record.workspace_bytes) == (False, False, None)
    content, _ = read_plan(tmp_path / "all.plan", graph)
    assert b"accelerators={sm80 sm86 sm89 sm120 sm121 }" in content


def test_the_plan_itself_says_what_it_was_built_with(rtx, graph, tmp_path):
    """What the builder wrote for its runtime is readable text."""
    build_engine(
        graph,
        tmp_path / "a.plan",
        flavour="tensorrt-rtx",
        compute_capabilities=["SM89"],
        workspace_bytes=123 * 2**20,
    )
    content = (tmp_path / "a.plan").read_bytes()
    assert set(re.findall(rb"\btf32=(\d)", content)) == {b"0"}
    assert b"accelerators={sm89 }" in content
    budgets = {int(b) for b in re.findall(rb"memory_budget = (\d+)", content)}
    build_engine(graph, tmp_path / "b.plan", flavour="tensorrt-rtx", compute_capabilities=["SM89"])
    unlimited = re.findall(rb"memory_budget = (\d+)", (tmp_path / "b.plan").read_bytes())
    assert max(budgets) < 2**28 < int(unlimited[0])


def test_tf32_is_on_where_nobody_switches_it_off(rtx, graph, tmp_path, monkeypatch):
    """So the test above would see it."""
    monkeypatch.setattr(rtx.IBuilderConfig, "clear_flag", lambda self, flag: None)
    build_engine(graph, tmp_path / "a.plan", flavour="tensorrt-rtx", compute_capabilities=["SM89"])
    assert b"tf32=1" in (tmp_path / "a.plan").read_bytes()


def test_bfloat16(rtx, tmp_path):
    graph = in_bfloat16(tmp_path / "bf16.onnx")
    record = build_engine(graph, tmp_path / "bf16.plan", flavour="tensorrt-rtx")
    assert record.compute_capabilities == DEFAULT
    assert record.number_formats == ("bfloat16", "float32")
    assert record.turing is False
    with pytest.raises(UnavailableError, match="these GPUs have no bfloat16"):
        build_engine(
            graph, tmp_path / "x.plan", flavour="tensorrt-rtx", compute_capabilities=["SM75"]
        )


def test_turing_needs_its_products_rewritten(rtx, graph, tmp_path, monkeypatch):
    """If this fails, TensorRT-RTX has learnt it, and turing.py can go."""
    from fiqa_fast.engines.tensorrt import graph_for_parser

    monkeypatch.setattr(graph_for_parser, "products_as_convolutions", lambda model: model)
    options = {"flavour": "tensorrt-rtx", "compute_capabilities": ["SM75"]}
    with pytest.raises(UnavailableError, match=r"for SM75, got: .*FP32 GEMM is not supported"):
        build_engine(graph, tmp_path / "a.plan", **options)
    monkeypatch.undo()
    assert build_engine(graph, tmp_path / "a.plan", **options).turing


def test_uint8_must_be_converted_first(rtx, graph, tmp_path, monkeypatch):
    """If this fails, TensorRT's parser has learnt it, and uint8_inputs.py can go."""
    from fiqa_fast.engines.tensorrt import graph_for_parser

    monkeypatch.setattr(graph_for_parser, "convert_first", lambda model: model)
    with pytest.raises(InvalidArgumentError, match=r"graph\.onnx: Transpose move: .*type UInt8"):
        build_engine(graph, tmp_path / "a.plan", flavour="tensorrt-rtx")


@pytest.mark.parametrize("wanted", [[], ["SM90"], ["8.6"], ["SM86", "SM86"]])
def test_gpus_that_it_does_not_know(rtx, graph, tmp_path, wanted):
    with pytest.raises(InvalidArgumentError, match="compute_capabilities among SM75, SM80"):
        build_engine(
            graph, tmp_path / "a.plan", flavour="tensorrt-rtx", compute_capabilities=wanted
        )


def test_refittable_plans_need_a_gpu(rtx, graph, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnavailableError, match="refittable plans only on a machine with a GPU"):
        build_engine(graph, tmp_path / "a.plan", flavour="tensorrt-rtx", refittable=True)
    assert not list(tmp_path.glob("*.plan*"))


def test_there_is_no_timing_cache(rtx, graph, tmp_path):
    with pytest.raises(InvalidArgumentError, match="expected timing_cache=None"):
        build_engine(
            graph, tmp_path / "a.plan", flavour="tensorrt-rtx", timing_cache=tmp_path / "cache"
        )


def test_an_operator_that_the_parser_does_not_know(rtx, graph, tmp_path):
    model = onnx.load(graph)
    model.graph.node[3].op_type = "Foo"
    onnx.save(model, graph)
    with pytest.raises(InvalidArgumentError, match=r"graph\.onnx: Foo convolve: .*Plugin"):
        build_engine(graph, tmp_path / "a.plan", flavour="tensorrt-rtx")


def test_a_graph_with_a_fixed_batch(rtx, graph, tmp_path):
    model = onnx.load(graph)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, graph)
    with pytest.raises(InvalidArgumentError, match=r"got crops UINT8 \[4, 8, 8, 3\]"):
        build_engine(graph, tmp_path / "a.plan", flavour="tensorrt-rtx")


def test_a_graph_that_is_dynamic_elsewhere(rtx, graph, tmp_path):
    model = onnx.load(graph)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "height"
    onnx.save(model, graph)
    with pytest.raises(InvalidArgumentError, match=r"got crops UINT8 \[\?, \?, 8, 3\]"):
        build_engine(graph, tmp_path / "a.plan", flavour="tensorrt-rtx")


@pytest.mark.parametrize("sizes", [(0, 1, 2), (2, 1, 3), (1, 4, 3)])
def test_profiles_that_are_none(sizes):
    with pytest.raises(InvalidArgumentError, match="1 <= min <= opt <= max"):
        BatchProfile(*sizes)


@pytest.mark.parametrize("workspace_bytes", [0, -5])
def test_workspaces_that_are_none(rtx, graph, tmp_path, workspace_bytes):
    with pytest.raises(InvalidArgumentError, match="expected workspace_bytes > 0"):
        build_engine(
            graph,
            tmp_path / "a.plan",
            flavour="tensorrt-rtx",
            workspace_bytes=workspace_bytes,
        )


# TensorRT, on the stand-in


def settings_of(plan):
    _, settings, _ = plan.read_bytes().split(b"\n", 2)
    return json.loads(settings)


def test_tensorrt_builds_for_its_gpu(gpu, graph, tmp_path):
    plan = tmp_path / "a.plan"
    record = build_engine(
        graph, plan, profile=BatchProfile(2, 3, 4), workspace_bytes=2**30, device="cuda:1"
    )
    assert record.compute_capabilities == ("SM86",)
    assert (record.flavour, record.version, record.turing) == ("tensorrt", "10.13.3", False)
    assert settings_of(plan) == {
        "sizes": [2, 3, 4],
        "flags": [],  # TF32 is off
        "network_flags": 1 << 1,  # strongly typed
        "workspace": 2**30,
        "refittable": False,
        "device": 1,
    }


def test_tensorrt_11_has_no_other_types_than_strong_ones(gpu, graph, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["tensorrt"], "__version__", "11.4.1")
    monkeypatch.delattr(sys.modules["tensorrt"], "NetworkDefinitionCreationFlag")
    build_engine(graph, tmp_path / "a.plan", refittable=True)
    settings = settings_of(tmp_path / "a.plan")
    assert (settings["network_flags"], settings["flags"]) == (0, ["REFIT"])


def test_tensorrt_builds_for_no_other_gpu(gpu, graph, tmp_path):
    with pytest.raises(InvalidArgumentError, match="expected compute_capabilities=None, got SM89"):
        build_engine(graph, tmp_path / "a.plan", compute_capabilities=["SM89"])


def test_tensorrt_without_a_gpu(gpu, graph, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnavailableError, match="tensorrt: expected an NVIDIA GPU"):
        build_engine(graph, tmp_path / "a.plan")


@pytest.mark.parametrize("error", [None, "no kernel fits into the workspace"])
def test_builds_that_fail(gpu, graph, tmp_path, monkeypatch, error):
    import stand_in_tensorrt

    def fails(self, network, config):
        if error:
            self.logger.log(stand_in_tensorrt.ILogger.Severity.ERROR, error)
        self.logger.log(stand_in_tensorrt.ILogger.Severity.INFO, "all is well")

    monkeypatch.setattr(stand_in_tensorrt.Builder, "build_serialized_network", fails)
    expected = error or "the library gave no reason"
    with pytest.raises(UnavailableError, match=rf"to build .* for SM86, got: {expected}$"):
        build_engine(graph, tmp_path / "a.plan")


def test_the_timing_cache_is_kept(gpu, graph, tmp_path):
    cache = tmp_path / "folder" / "timing.cache"
    for build in (1, 2):
        build_engine(graph, tmp_path / "a.plan", timing_cache=cache)
        assert json.loads(cache.read_bytes()) == {"timings": build, "gpu": [8, 6]}
    gpu.capability = (8, 9)
    with pytest.raises(UnavailableError, match="a timing cache of this GPU and this version"):
        build_engine(graph, tmp_path / "a.plan", timing_cache=cache)
    with pytest.raises(InvalidArgumentError, match="expected timing_cache to be a file"):
        build_engine(graph, tmp_path / "a.plan", timing_cache=tmp_path)
