"""The bytes that the fused CUDA kernels move, counted access by access on the emulator.

The ideal reads and writes every activation once and every statistic once. Statistics of channels
are read by many blocks, but count once: behind the first they come from the cache.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import emulator_toolchain
import pytest
from emulator_toolchain import EMULATOR

ACTIVATIONS = {"x", "y", "skip", "next", "grad", "other", "d"}
# What small tensors and slices cost beyond their size: whole sectors of 32 bytes.
SECTORS = 1.25


@pytest.fixture(scope="module")
def cases(
    cuda_headers: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    cache = request.config.cache.mkdir("cuda_emulator") / "bytes"
    work = tmp_path_factory.mktemp("bytes")
    program = emulator_toolchain.build_program(
        "count_bytes", [EMULATOR / "count_bytes.cpp"], work, "bytes", cache=cache
    )
    done = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    counted = [json.loads(line) for line in done.stdout.splitlines()]
    return {c["case"]: c for c in counted}


def test_close_to_the_ideal(cases: dict[str, dict[str, Any]]) -> None:
    for name, case in cases.items():
        ratio = case["moved"] / case["ideal"]
        print(f"{name}: {ratio:.3f}")  # noqa: T201 - shown by `pytest -rP`
        if "k=10" not in name:
            assert ratio <= 1.05, name
    assert len(cases) == 2 * (3 * 6 + 2 * 2)


def test_activations_are_moved_exactly_once(cases: dict[str, dict[str, Any]]) -> None:
    for name, case in cases.items():
        for part, (moved, ideal) in case["parts"].items():
            if part in ACTIVATIONS and not (part == "x" and "k=" in name):
                assert moved == ideal, (name, part)
            elif part != "workspace" and part not in ACTIVATIONS:
                assert ideal <= moved <= SECTORS * ideal, (name, part)


def test_copies_share_their_image(cases: dict[str, dict[str, Any]]) -> None:
    """One block takes all copies, or in a small batch each of several reads x, from the cache."""
    for dtype in ("float32", "bfloat16"):
        large = cases[f"prelu_difference {dtype} 6x3136x64 k=4"]["parts"]["x"]
        small = cases[f"prelu_difference {dtype} 1x784x64 k=10"]["parts"]["x"]
        assert large[0] == large[1]
        assert small[0] == 10 * small[1]
