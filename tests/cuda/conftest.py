"""The emulated CUDA operators, built once for each state of the sources."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path[:0] = [
    str(Path(__file__).parent),
    str(Path(__file__).parent / "emulator"),
    str(Path(__file__).parents[1] / "ops"),  # operator_checks, fused_checks
]

import emulator_toolchain  # noqa: E402 - found by the path above


@pytest.fixture(scope="session")
def cuda_headers() -> Path:
    headers = emulator_toolchain.find_cuda_headers()
    if headers is None:
        pytest.skip(emulator_toolchain.NO_HEADERS)
    return headers


@pytest.fixture(scope="session")
def emulated(cuda_headers: Path, request: pytest.FixtureRequest) -> Any:
    """torch.ops.fiqa_fast_emu: the CUDA path of every operator, run on CPU tensors."""
    cache = request.config.cache.mkdir("cuda_emulator")
    torch.ops.load_library(str(emulator_toolchain.build_operator_library(cache)))
    return torch.ops.fiqa_fast_emu
