"""The CUDA path of the operators, run on the CPU: dispatch code, launchers and kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import emulator_toolchain
import pytest
import torch
from operator_checks import (
    LAYOUTS,
    activation,
    check_abs_sum,
    check_batch_invariance,
    check_bn_discrepancy,
    check_bn_discrepancy_backward,
    check_constant_channels,
    check_empty_batch,
    check_large_mean,
    check_non_finite,
    check_sign_step,
    gradient_with_zeros,
)

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# [N, C, H, W], each for a path of the kernels.
SHAPES = (
    (2, 5, 7, 7),  # nothing divides by the pack: single elements
    (2, 8, 8, 8),  # packs in both layouts
    (3, 70, 1, 1),  # one pixel
    (1, 3, 33, 32),  # 8 warps for a plane; channels_last: single elements, two splits
    (1, 8, 33, 32),  # the same with packs
    (1, 264, 2, 3),  # more channels than a block of channels_last takes, and than threads
    (2, 72, 3, 4),  # channels that fill no power of two
)
DENSE_LAYOUTS = ("nchw", "channels_last", "offset")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", DENSE_LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bn_discrepancy(
    emulated: Any, shape: tuple[int, ...], layout: str, dtype: torch.dtype
) -> None:
    x = activation(shape, dtype, layout)
    check_bn_discrepancy(emulated, x, use_std=layout == "channels_last")
    check_bn_discrepancy_backward(emulated, x)


@pytest.mark.parametrize("use_std", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bn_discrepancy_in_every_layout(emulated: Any, layout: str, use_std: bool) -> None:
    x = activation((1, 8, 4, 4), torch.float32, layout)
    check_bn_discrepancy(emulated, x, use_std)
    check_bn_discrepancy_backward(emulated, x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", DENSE_LAYOUTS)
@pytest.mark.parametrize("shape", [*SHAPES, (2, 3, 90, 62), (1, 4, 96, 128)], ids=str)
def test_abs_sum(emulated: Any, shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> None:
    check_abs_sum(emulated, activation(shape, dtype, layout))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", DENSE_LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sign_step(emulated: Any, shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> None:
    x = activation(shape, dtype, layout)
    check_sign_step(emulated, x, gradient_with_zeros(x))


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
@pytest.mark.parametrize("shape", [(3, 8, 4, 4), (3, 5, 7, 7), (2, 3, 33, 32)], ids=str)
def test_batch_invariance(emulated: Any, shape: tuple[int, ...], layout: str) -> None:
    check_batch_invariance(emulated, activation(shape, torch.float32, layout))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
@pytest.mark.parametrize("shape", [(2, 5, 7, 7), (1, 8, 33, 32)], ids=str)
def test_constant_channels_have_no_variance(
    emulated: Any, shape: tuple[int, ...], layout: str, dtype: torch.dtype
) -> None:
    check_constant_channels(emulated, activation(shape, dtype, layout))


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_large_mean_keeps_the_variance(emulated: Any, layout: str) -> None:
    check_large_mean(emulated, 2e-3, layout=layout)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_non_finite_values_stay_in_their_channel(emulated: Any, layout: str, bad: float) -> None:
    check_non_finite(emulated, activation((3, 5, 4, 4), torch.float32, layout), bad)


def test_empty_batch(emulated: Any) -> None:
    check_empty_batch(emulated)


def test_float64_is_for_the_cpu(emulated: Any) -> None:
    x, statistic = torch.zeros(1, 2, 3, 3).double(), torch.zeros(2).double()
    message = "expected float32, float16 or bfloat16 on CUDA, got float64; compute float64"
    with pytest.raises(RuntimeError, match=message):
        emulated.bn_discrepancy(x, statistic, statistic, False)
    with pytest.raises(RuntimeError, match=message):
        emulated.bn_discrepancy_backward(x, *[statistic[None]] * 3)
    with pytest.raises(RuntimeError, match=message):
        emulated.abs_sum(x)
    with pytest.raises(RuntimeError, match=message):
        emulated.sign_step(x, x, 0.1, -1.0, 1.0)


PRINT_RESULTS = """
import sys, torch
sys.path.insert(0, sys.argv[2])
from operator_checks import activation, running_statistics
torch.ops.load_library(sys.argv[1])
ops = torch.ops.fiqa_fast_emu
for shape in ((2, 5, 7, 7), (1, 8, 33, 32), (2, 72, 3, 4)):
    for layout in ("nchw", "channels_last"):
        for dtype in (torch.float32, torch.bfloat16):
            x = activation(shape, dtype, layout)
            mean, var, error = ops.bn_discrepancy(x, *running_statistics(x), True)
            grad = ops.bn_discrepancy_backward(x, mean, var, mean)
            step = ops.sign_step(x, grad, 0.1, -1.0, 1.0)
            for t in (mean, var, error, grad, step, ops.abs_sum(x)):
                print(t.double().numpy().tobytes().hex())
"""


def run_in_thread_order(order: int, library: Path) -> str:
    """The bits of every result when the emulator runs the threads of a block in another order."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_RESULTS, str(library), str(Path(__file__).parents[1] / "ops")],
        env={**os.environ, "EMU_ORDER": str(order)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_results_do_not_depend_on_the_order_of_threads(
    cuda_headers: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    """No atomics, no races: the same bits for any schedule that a GPU might choose."""
    cache = request.config.cache.mkdir("cuda_emulator")
    library = emulator_toolchain.build_operator_library(cache)
    ascending = run_in_thread_order(0, library)
    assert len(ascending.split()) == 3 * 2 * 2 * 6
    for order in (1, 2, 3, 4, 5):
        assert run_in_thread_order(order, library) == ascending
