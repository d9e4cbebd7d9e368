"""Plan and record on disk, and what must agree before a plan is loaded."""

import hashlib
import json
import os
from dataclasses import replace

import pytest
from small_graphs import PROVENANCE

from fiqa_fast.engines.tensorrt.batch_profile import BatchProfile
from fiqa_fast.engines.tensorrt.libraries import Library
from fiqa_fast.engines.tensorrt.plan_file import (
    PlanRecord,
    read_plan,
    read_record,
    record_path,
    write_plan,
)
from fiqa_fast.errors import InvalidArgumentError, UnavailableError

GRAPH, PLAN = b"a graph", b"a plan"
RECORD = PlanRecord(
    provenance=PROVENANCE,
    flavour="tensorrt-rtx",
    version="1.7.1.116",
    compute_capabilities=("SM86", "SM89"),
    profile=BatchProfile(1, 2, 3),
    number_formats=("float16", "float32"),
    turing=False,
    refittable=True,
    workspace_bytes=None,
    structure_sha256="1" * 64,
    onnx_sha256=hashlib.sha256(GRAPH).hexdigest(),
    plan_sha256=hashlib.sha256(PLAN).hexdigest(),
)


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "new" / "folder" / "norm.plan"
    write_plan(path, PLAN, RECORD)
    return path


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, provenance=None, workspace_bytes=5)])
def test_records_come_back(record):
    assert PlanRecord.from_json(record.to_json()) == record


def test_plans_come_back(plan, tmp_path):
    assert plan.parent.joinpath("norm.plan.json") == record_path(plan)
    assert read_record(plan) == RECORD
    assert read_plan(plan) == (PLAN, RECORD)
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(GRAPH)
    assert read_plan(plan, graph) == (PLAN, RECORD)
    assert sorted(p.name for p in plan.parent.iterdir()) == ["norm.plan", "norm.plan.json"]


def test_a_plan_of_another_record(plan):
    plan.write_bytes(b"another plan")
    with pytest.raises(InvalidArgumentError, match=r"norm\.plan to have the sha256 of the plan's"):
        read_plan(plan)


def test_a_plan_of_another_graph(plan, tmp_path):
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(b"another graph")
    with pytest.raises(InvalidArgumentError, match=r"graph\.onnx to have the sha256"):
        read_plan(plan, graph)
    with pytest.raises(InvalidArgumentError, match=r"no\.onnx"):
        read_plan(plan, tmp_path / "no.onnx")


def test_files_that_are_missing(plan):
    plan.unlink()
    with pytest.raises(InvalidArgumentError, match=r"a plan and its graph, got.*norm\.plan"):
        read_plan(plan)
    record_path(plan).unlink()
    with pytest.raises(InvalidArgumentError, match=r"norm\.plan\.json beside the plan"):
        read_plan(plan)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps({**json.loads(RECORD.to_json()), "more": 1}),
        json.dumps({**json.loads(RECORD.to_json()), "profile": {"min": 2, "opt": 1, "max": 1}}),
        json.dumps({**json.loads(RECORD.to_json()), "profile": 3}),
        json.dumps({**json.loads(RECORD.to_json()), "provenance": {"scorer": "x"}}),
    ],
)
def test_records_that_are_none(plan, text):
    record_path(plan).write_text(text)
    with pytest.raises(InvalidArgumentError, match="expected the record of a plan"):
        read_plan(plan)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgumentError, match="expected a plan file that can be written"):
        write_plan(tmp_path / "file" / "norm.plan", PLAN, RECORD)


def test_a_write_that_fails_leaves_the_old_plan(plan, monkeypatch):
    def full(self, target):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(InvalidArgumentError, match="disk full"):
        write_plan(plan, b"new", RECORD)
    monkeypatch.undo()
    assert read_plan(plan) == (PLAN, RECORD)
    assert sorted(os.listdir(plan.parent)) == ["norm.plan", "norm.plan.json"]  # noqa: PTH208


def test_the_library_must_be_the_builders():
    RECORD.require_library(Library("tensorrt-rtx", None, "1.7.1.116"))
    with pytest.raises(UnavailableError, match=r"built the plan, 1.7.1.116, got 1.8.0"):
        RECORD.require_library(Library("tensorrt-rtx", None, "1.8.0"))


def test_the_gpu_must_be_a_target():
    RECORD.require_gpu("SM89")
    with pytest.raises(UnavailableError, match="GPU with SM86 or SM89, got SM90"):
        RECORD.require_gpu("SM90")
