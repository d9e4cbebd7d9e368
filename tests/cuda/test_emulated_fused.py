"""The CUDA path of the fused operators, run on the CPU: dispatch code, launchers and kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import emulator_toolchain
import pytest
import torch
from fused_checks import (
    bn_prelu_inputs,
    channels_last,
    check_bn_add_bn,
    check_bn_add_bn_backward,
    check_bn_prelu,
    check_bn_prelu_at_zero,
    check_bn_prelu_backward,
    check_fused_batch_invariance,
    check_fused_constant_channels,
    check_fused_empty_batch,
    check_fused_large_mean,
    check_fused_non_finite,
    check_prelu_difference,
    check_prelu_difference_backward,
    mask_for,
    placed,
    rows,
    run_all_on,
)

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# [N, C, H, W], each for a path of the kernels.
SHAPES = (
    (2, 5, 7, 7),  # nothing divides by the pack: single elements
    (2, 64, 7, 7),  # full tiles, one chunk for moments
    (3, 70, 1, 1),  # one pixel
    (1, 264, 2, 3),  # several tiles of channels
    (2, 72, 3, 4),  # the last tile has few channels
    (1, 16, 16, 16),  # exactly one chunk for moments
    (1, 24, 33, 32),  # five chunks for moments, the last a part
    (1, 3, 17, 16),  # two chunks of single elements
)


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_twin(
    emulated: Any, shape: tuple[int, ...], dtype: torch.dtype, offset: bool
) -> None:
    x = channels_last(shape, dtype, offset=offset)
    check_bn_prelu(emulated, x, in_place=True)
    check_bn_prelu_backward(emulated, x, in_place=True)
    check_bn_add_bn(emulated, x, y_in="x", next_in="skip")
    check_bn_add_bn_backward(emulated, x, total_in="grad", grad_x_in="other")
    if shape[1] % 8 == 0:
        check_prelu_difference(emulated, x, 3, in_place=True)
        check_prelu_difference_backward(emulated, x, in_place=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("slope", [False, True])
@pytest.mark.parametrize("kind", ["none", "own", "wide"])
def test_bn_prelu_options(emulated: Any, kind: str, slope: bool, dtype: torch.dtype) -> None:
    x = channels_last((2, 24, 5, 7), dtype)
    check_bn_prelu(emulated, x, slope=slope, moments=kind)
    for abs_sum in (False, True):
        check_bn_prelu_backward(emulated, x, slope=slope, terms=kind, abs_sum=abs_sum)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_zero_is_not_positive(emulated: Any, dtype: torch.dtype) -> None:
    check_bn_prelu_at_zero(emulated, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "moments",
    [
        ("none", "none", "none"),
        ("wide", "none", "none"),
        ("none", "wide", "none"),
        ("none", "none", "wide"),
        ("own", "wide", "own"),
    ],
)
def test_bn_add_bn_options(
    emulated: Any, moments: tuple[str, str, str], dtype: torch.dtype
) -> None:
    for shape in ((2, 24, 5, 7), (1, 8, 17, 16)):  # one chunk, and two
        x = channels_last(shape, dtype)
        layers = moments[1] != "none"
        check_bn_add_bn(emulated, x, moments=moments, skip_bn=layers, next_bn=not layers)


@pytest.mark.parametrize(
    ("y_in", "next_in"),
    [("x", "own"), ("skip", "own"), ("own", "x"), ("own", "skip"), ("skip", "x")],
)
def test_bn_add_bn_in_place(emulated: Any, y_in: str, next_in: str) -> None:
    for dtype in DTYPES:
        x = channels_last((1, 24, 5, 7), dtype)
        for moments in (("own",) * 3, ("none",) * 3):
            check_bn_add_bn(emulated, x, y_in=y_in, next_in=next_in, moments=moments)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("parts", ["grad other x", "grad y", "other", "y x", "x", ""])
def test_bn_add_bn_backward_options(emulated: Any, parts: str, dtype: torch.dtype) -> None:
    x = channels_last((2, 24, 5, 7), dtype)
    check_bn_add_bn_backward(emulated, x, parts=parts, x_terms="wide", y_terms="wide")
    check_bn_add_bn_backward(emulated, x, parts=parts, x_terms="none", abs_sum=False)


@pytest.mark.parametrize(
    ("total_in", "grad_x_in"),
    [("grad", "own"), ("other", "own"), ("own", "other")],
)
def test_bn_add_bn_backward_in_place(emulated: Any, total_in: str, grad_x_in: str) -> None:
    for dtype in DTYPES:
        x = channels_last((2, 24, 5, 7), dtype)
        check_bn_add_bn_backward(emulated, x, total_in=total_in, grad_x_in=grad_x_in)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("k", [0, 1, 2, 7])
def test_prelu_difference_copies(emulated: Any, k: int, dtype: torch.dtype) -> None:
    x = channels_last((2, 24, 3, 3), dtype)
    check_prelu_difference(emulated, x, k, mask=k != 2, in_place=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_thread_takes_several_copies(emulated: Any, dtype: torch.dtype) -> None:
    """So many samples that their blocks fill a GPU before the copies are shared out."""
    check_prelu_difference(emulated, channels_last((530, 8, 1, 1), dtype), 5, in_place=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(3, 5, 7, 7), (3, 72, 1, 1), (2, 16, 17, 16)], ids=str)
def test_batch_invariance(emulated: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    check_fused_batch_invariance(emulated, channels_last(shape, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(2, 5, 7, 7), (1, 72, 33, 16)], ids=str)
def test_constant_channels_have_no_variance(
    emulated: Any, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    check_fused_constant_channels(emulated, channels_last(shape, dtype))


def test_large_mean_keeps_the_variance(emulated: Any) -> None:
    check_fused_large_mean(emulated, 2e-3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_values_stay_in_their_channel(emulated: Any, bad: float) -> None:
    check_fused_non_finite(emulated, channels_last((3, 5, 4, 4), torch.float32), bad)
    check_fused_non_finite(emulated, channels_last((3, 8, 4, 4), torch.float32), bad)


def test_empty_batch(emulated: Any) -> None:
    check_fused_empty_batch(emulated)


def test_float64_is_for_the_cpu(emulated: Any) -> None:
    x = channels_last((1, 8, 3, 3), torch.float64)
    message = "expected float32, float16 or bfloat16 on CUDA, got float64; compute float64"
    given = bn_prelu_inputs(x)
    none = torch.empty(0)
    with pytest.raises(RuntimeError, match=message):
        emulated.bn_prelu(*given, x, none)
    with pytest.raises(RuntimeError, match=message):
        emulated.bn_prelu_backward(x, *given, none, x, none)
    with pytest.raises(RuntimeError, match=message):
        emulated.bn_add_bn(*given[:3], x, *[none] * 4, x, *[none] * 4)
    with pytest.raises(RuntimeError, match=message):
        emulated.bn_add_bn_backward(x, *[none] * 6, x, none, none)
    with pytest.raises(RuntimeError, match=message):
        emulated.prelu_difference(x, *given, x, none)
    with pytest.raises(RuntimeError, match=message):
        emulated.prelu_difference_backward(x, mask_for(x), given.slope, x)


PRINT_RESULTS = """
import sys, torch
sys.path.insert(0, sys.argv[2])
from fused_checks import channels_last, run_all
torch.ops.load_library(sys.argv[1])
ops = torch.ops.fiqa_fast_emu
for shape in ((2, 5, 7, 7), (1, 16, 33, 16), (2, 72, 3, 4)):
    for dtype in (torch.float32, torch.bfloat16):
        for name, t in run_all(ops, channels_last(shape, dtype)).items():
            print(name, t.double().contiguous().numpy().tobytes().hex())
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
    cuda_headers: Path, request: pytest.FixtureRequest
) -> None:
    """No atomics, no races: the same bits for any schedule that a GPU might choose."""
    cache = request.config.cache.mkdir("cuda_emulator")
    library = emulator_toolchain.build_operator_library(cache)
    ascending = run_in_thread_order(0, library)
    assert len(ascending.splitlines()) == 2 * (2 * 15 + 12)
    for order in (1, 2, 3, 4, 5):
        assert run_in_thread_order(order, library) == ascending


def test_a_batch_of_copies_in_other_groups(emulated: Any) -> None:
    """How copies are shared out between blocks changes no bit: one sample, or one of many."""
    many = channels_last((300, 8, 1, 1), torch.float32)
    given = bn_prelu_inputs(many)
    other, terms = placed(many), rows(many, seed=72)
    batch = run_all_on(emulated, given, other, terms, 5)
    own = given._replace(x=placed(many[:1]))
    alone = run_all_on(emulated, own, placed(other[:1]), terms[:, :1].contiguous(), 5)
    assert torch.equal(batch["difference"][:5], alone["difference"])
    assert torch.equal(batch["mask"][:5], alone["mask"])
