"""Every exported graph builds ahead of time, and is still the graph when the parser gets it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import small_graphs
import stand_in_cuda
import stand_in_tensorrt
import torch

from fiqa_fast.backbones.layers import heads
from fiqa_fast.engines import export
from fiqa_fast.engines.exported import load_exported
from fiqa_fast.engines.inputs import inputs_of
from fiqa_fast.engines.onnx_file import read_provenance, to_onnx
from fiqa_fast.engines.plain_layers import on_plain_layers
from fiqa_fast.engines.tensorrt import BatchProfile, PlanRecord, build_engine
from fiqa_fast.engines.tensorrt.graph_for_parser import graph_for_parser
from fiqa_fast.engines.tensorrt.targets import AHEAD_OF_TIME, DEFAULT
from fiqa_fast.scorers.registry import create_scorer, list_scorers, scorer_class

# In tests/engines/conftest.py; the second number is the relative tolerance of the graph that the
# parser gets: FaceQAN takes signs of vanishing gradients, FROQ sums a hundred thousand squares.
SMALL = {
    "embedding-norm": 1e-5,
    "froq": 1e-4,
    "ser-fiq": 1e-5,
    "cr-fiqa": 5e-5,
    "lightqnet": 2e-5,
    "norm-sphereface4": 1e-5,
    "grafiqs": 2e-4,
    "faceqan": 1e-3,
}
SLOW = {
    "magface": ("magface-iresnet18", None),
    "ediffiqa": ("iresnet18", lambda: heads.EDifFiqaHead(512, 64, normalises=False)),
    "diffiqa-r": ("iresnet18", lambda: heads.DifFiqaRHead(512)),
    "label-regressor": ("iresnet18", lambda: heads.RegressorHead(512)),
    "pcnet": ("iresnet18", lambda: heads.PcNetHead(512)),
    "sdd-fiqa": ("sdd-ir50", lambda: heads.SddFiqaHead(25088)),
    "faceqnet": (
        "faceqnet",
        lambda: heads.FaceQnetHead({"0_relu": (2048, 32), "1_linear": (32, 1)}),
    ),
    "pfe": ("sphereface64", lambda: heads.PfeHead(21504, 512)),
}
PROFILE = BatchProfile(1, 2, 4)


def build(model: onnx.ModelProto, folder: Path, **options: Any) -> PlanRecord:
    onnx.save(model, folder / "graph.onnx")
    return build_engine(
        folder / "graph.onnx",
        folder / "scorer.plan",
        flavour="tensorrt-rtx",
        profile=PROFILE,
        **options,
    )


def test_every_method_that_has_a_graph_is_here(scorer_of):
    tested = {*SMALL, *SLOW} - {"norm-sphereface4"}
    without = {"diffiqa", "brisque", "deepiqa", "rankiqa"}
    assert tested | without == {spec.name for spec in list_scorers()}
    for name in without:
        assert scorer_class(name).why_no_graph is not scorer_class("froq").why_no_graph


@pytest.mark.parametrize("name", SMALL)
def test_one_plan_for_all_gpus(name, graph_of, rtx, tmp_path):
    record = build(graph_of(name), tmp_path, compute_capabilities=AHEAD_OF_TIME)
    assert record.provenance == read_provenance(graph_of(name))
    assert record.number_formats == ("float32",)


@pytest.mark.parametrize("target", AHEAD_OF_TIME)
@pytest.mark.parametrize("name", ["lightqnet", "ser-fiq"])
def test_a_plan_for_each_gpu(name, target, graph_of, rtx, tmp_path):
    assert build(graph_of(name), tmp_path, compute_capabilities=[target]).turing == (
        target == "SM75"
    )


def test_turing_makes_a_plan_worse_for_the_others(graph_of, rtx, tmp_path):
    """If this fails, one plan can serve all, and `targets.DEFAULT` can be all."""
    memory = {}
    for targets in (AHEAD_OF_TIME, DEFAULT):
        build(graph_of("embedding-norm"), tmp_path, compute_capabilities=targets)
        content = (tmp_path / "scorer.plan").read_bytes()
        memory[targets] = sum(map(int, re.findall(rb"name=devmem\w* size=(\d+)", content)))
    assert memory[AHEAD_OF_TIME] > 2 * memory[DEFAULT] > 0


@pytest.mark.parametrize("name", SMALL)
def test_the_parsers_graph_gives_the_same_scores(name, scorer_of, graph_of, crops):
    """With uint8 inputs converted first and matrix products as convolutions."""
    given = inputs_of(scorer_of(name), crops[[0, 4, 9]])
    expected = small_graphs.run(graph_of(name), given)["raw_score"]
    found = small_graphs.run(graph_for_parser(graph_of(name), "tensorrt-rtx", turing=True), given)[
        "raw_score"
    ]
    np.testing.assert_allclose(found, expected, rtol=SMALL[name])


@pytest.mark.parametrize(("precision", "targets"), [("fp16", AHEAD_OF_TIME), ("bf16", DEFAULT)])
def test_short_numbers(precision, targets, scorer_of, rtx, tmp_path):
    """The graph is typed; the plan has its types."""
    scorer = on_plain_layers(scorer_of("norm-sphereface4"), precision)
    record = build(to_onnx(scorer), tmp_path, compute_capabilities=targets)
    assert {"fp16": "float16", "bf16": "bfloat16"}[precision] in record.number_formats


def test_from_the_scorer_to_its_scores(scorer_of, graph_of, crops, rtx, tmp_path, monkeypatch):
    """A real plan; what would run it on a GPU runs on the stand-in."""
    scorer = scorer_of("ser-fiq")
    monkeypatch.setattr(export, "to_onnx", lambda *_, **__: graph_of("ser-fiq"))  # traced before
    plan = export.export_scorer(scorer, "tensorrt-rtx", tmp_path, profile=PROFILE)
    graph = graph_for_parser(graph_of("ser-fiq"), "tensorrt-rtx").SerializeToString()
    stand_in_tensorrt.know_plan(plan.read_bytes(), graph, PROFILE.sizes, refittable=False)
    stand_in_cuda.install(monkeypatch, stand_in_cuda.StandInGpu())
    module = stand_in_tensorrt.make_module("tensorrt_rtx", rtx.__version__)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", module)
    exported = load_exported(plan, device="cuda:1")
    made_by = exported.provenance
    assert (made_by.scorer, made_by.engine, made_by.device) == (
        "ser-fiq",
        "tensorrt-rtx",
        "cuda:1",
    )
    given = inputs_of(scorer, crops[:7])
    found = exported.run(given["crops"], given["noise"])["raw_score"]
    monkeypatch.undo()
    expected = torch.stack(list(scorer.score_all(crops[:7]).values()), 1).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_learned_methods(name, recipe_backbone, rtx, tmp_path):
    network, head = SLOW[name]
    if head is not None:
        with torch.device("meta"):
            head = head()
    backbone = recipe_backbone(network, head=head)
    scorer = create_scorer(name, backbone=backbone, engine="reference")
    build(to_onnx(scorer), tmp_path, compute_capabilities=AHEAD_OF_TIME)


@pytest.mark.slow
@pytest.mark.parametrize("target", AHEAD_OF_TIME)
@pytest.mark.parametrize("name", ["grafiqs", "faceqan"])
def test_gradients_for_each_gpu(name, target, graph_of, rtx, tmp_path):
    build(graph_of(name), tmp_path, compute_capabilities=[target])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", ["embedding-norm", "ser-fiq", "grafiqs"])
def test_short_numbers_of_others(name, precision, scorer_of, rtx, tmp_path):
    scorer = on_plain_layers(scorer_of(name), precision)
    targets = AHEAD_OF_TIME if precision == "fp16" else DEFAULT
    build(to_onnx(scorer), tmp_path, compute_capabilities=targets)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["iresnet50", "iresnet100"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("embedding-norm", {}),
        ("ser-fiq", {}),
        ("grafiqs", {}),
        ("faceqan", {"k": 10, "l": 5}),
    ],
)
def test_large_networks(name, options, network, recipe_backbone, rtx, tmp_path):
    """benchmarks/engines/tensorrt_builds.py reports their times and sizes."""
    backbone = recipe_backbone(network)
    scorer = create_scorer(name, backbone=backbone, engine="reference", **options)
    model = to_onnx(scorer)
    assert build(model, tmp_path).compute_capabilities == DEFAULT
    assert build(model, tmp_path, compute_capabilities=["SM75"]).turing
