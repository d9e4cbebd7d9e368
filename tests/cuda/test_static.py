"""The gate on the machine code of the CUDA kernels: no spills, no float64, 128-bit accesses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cuda_static_report import (
    MISSING_TOOLS,
    MULTIPROCESSORS,
    KernelFacts,
    find_nvcc,
    find_nvdisasm,
    measure,
    pack_size,
    table,
    violations,
    write_json,
)

GOOD = KernelFacts(
    kernel="steps<float, 4>",
    arch="90",
    registers=32,
    shared_bytes=0,
    stack_bytes=0,
    spill_bytes=0,
    local_accesses=0,
    float64_instructions=0,
    global_loads=2,
    global_loads_64=0,
    global_loads_128=2,
    global_stores=1,
    global_stores_64=0,
    global_stores_128=1,
    instructions=50,
    occupancy=1.0,
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spill_bytes": 8}, "spill to local memory"),
        ({"stack_bytes": 8}, "spill to local memory"),
        ({"local_accesses": 1}, "spill to local memory"),
        ({"float64_instructions": 3}, "3 float64 instructions"),
        ({"global_loads_128": 0}, "no 128-bit load"),
        ({"global_stores_128": 0}, "no 128-bit store"),
    ],
)
def test_gate_objects(change: dict[str, int], message: str) -> None:
    assert violations([GOOD]) == []
    (line,) = violations([GOOD._replace(**change)])
    assert line.startswith("steps<float, 4> on sm_90")
    assert message in line


def test_gate_knows_the_fused_kernels() -> None:
    fused = GOOD._replace(kernel="bn_prelu_backward<float, 4>")
    assert violations([fused, fused._replace(occupancy=0.5)]) == []
    (line,) = violations([fused._replace(occupancy=0.375)])
    assert line.endswith("occupancy 38%")
    (line,) = violations([fused._replace(global_stores_128=0)])
    assert "no 128-bit store" in line
    narrow = GOOD._replace(
        kernel="bn_add_bn_forward<__half, 4, true>",
        global_loads_128=0,
        global_loads_64=2,
        global_stores_128=0,
        global_stores_64=2,
    )
    assert violations([narrow]) == []
    (line,) = violations([narrow._replace(global_loads_64=0)])
    assert "no 64-bit load" in line


def test_pack_size() -> None:
    assert pack_size("partial_moments_nchw<__half, 8, 1>") == 8
    assert pack_size("finish") is None
    unpacked = GOOD._replace(kernel="steps<float, 1>", global_loads_128=0, global_stores_128=0)
    assert violations([unpacked]) == []


@pytest.mark.slow
def test_machine_code(tmp_path: Path) -> None:
    if find_nvcc() is None or find_nvdisasm() is None:
        pytest.skip(MISSING_TOOLS)
    facts = measure()
    print(table(facts))  # noqa: T201 - shown by `pytest -rP`
    assert violations(facts) == []
    # Every kernel was read, in its packed and its single-element form.
    assert {f.arch for f in facts} == set(MULTIPROCESSORS)
    names = {f.kernel for f in facts}
    assert {"finish", "add_parts", "steps<float, 4>", "partial_sums<__half, 8>"} <= names
    assert {
        f"{kernel}<{t}, {v}{moments}>"
        for t, v in (("float", 4), ("__half", 8), ("__nv_bfloat16", 8), ("float", 1))
        for kernel, moments in (
            ("bn_prelu_forward", ", true"),
            ("bn_prelu_forward", ", false"),
            ("bn_prelu_backward", ""),
            ("bn_add_bn_forward", ", false"),
            ("bn_add_bn_backward", ""),
            ("prelu_difference_forward", ""),
            ("prelu_difference_backward", ""),
        )
    } <= names
    assert {"bn_add_bn_forward<float, 4, true>", "merge_chunks", "add_tiles"} <= names
    assert {"backward_nhwc<__nv_bfloat16, 8>", "partial_moments_nhwc<float, 1>"} <= names
    assert min(f.occupancy for f in facts) >= 0.33
    write_json(facts, tmp_path / "cuda_static.json")
    assert len(json.loads((tmp_path / "cuda_static.json").read_text())["kernels"]) == len(facts)
