"""The CUDA kernels under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import emulator_toolchain
import pytest

pytestmark = pytest.mark.slow


def run_driver(program: Path, *arguments: str, order: int = 0) -> str:
    done = subprocess.run(
        [str(program), *arguments],
        env={**os.environ, "EMU_ORDER": str(order), "TSAN_OPTIONS": "halt_on_error=1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_plain_in_several_orders(cuda_headers: Path, tmp_path: Path) -> None:
    program = emulator_toolchain.build_driver(tmp_path)
    for order in range(4):
        assert "driver: 0 mismatches" in run_driver(program, order=order)


def test_no_invalid_memory_access(cuda_headers: Path, tmp_path: Path) -> None:
    program = emulator_toolchain.build_driver(tmp_path, "address")
    for order in (0, 3):
        assert "driver: 0 mismatches" in run_driver(program, order=order)


def test_no_data_race(cuda_headers: Path, tmp_path: Path) -> None:
    """One CUDA thread is one TSan fiber: over a minute with the runtime of gcc 12."""
    program = emulator_toolchain.build_driver(tmp_path, "thread")
    assert "driver: 0 mismatches" in run_driver(program, "small")
