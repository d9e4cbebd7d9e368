from __future__ import annotations

import pytest
import torch
from fused_checks import (
    NONE,
    SHAPES,
    channels_last,
    check_bn_prelu,
    check_bn_prelu_at_zero,
    check_bn_prelu_backward,
    check_fused_batch_invariance,
    check_fused_constant_channels,
    check_fused_empty_batch,
    check_fused_large_mean,
    check_fused_non_finite,
    placed,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_checks import DTYPES
from torch import Tensor

cpu = torch.ops.fiqa_fast


def test_smoke() -> None:
    x = placed(torch.tensor([[[[1.0, 3.0]], [[-4.0, 4.0]]]]))
    y, moments = torch.empty_like(x), torch.empty(2, 1, 2)
    one, half = torch.ones(2), torch.full((2,), 0.5)
    cpu.bn_prelu(x, 2 * one, -one, half, y, moments)
    assert y.flatten().tolist() == [1.0, 5.0, -4.5, 7.0]
    assert moments.tolist() == [[[2.0, 0.0]], [[1.0, 16.0]]]
    grad, grad_x, sums = placed(torch.full_like(x, 3.0)), torch.empty_like(x), torch.empty(1)
    terms = torch.tensor([[[10.0, 0.0]], [[0.0, 100.0]]])
    cpu.bn_prelu_backward(grad, x, 2 * one, -one, half, terms, grad_x, sums)
    assert grad_x.flatten().tolist() == [16.0, 16.0, 3.0 - 400, 6.0 + 400]
    assert sums.tolist() == [12.0]


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_twin(shape: tuple[int, ...], dtype: torch.dtype, offset: bool) -> None:
    x = channels_last(shape, dtype, offset=offset)
    check_bn_prelu(cpu, x, in_place=True)
    check_bn_prelu_backward(cpu, x, in_place=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("slope", [False, True])
@pytest.mark.parametrize("kind", ["none", "own", "wide"])
def test_optional_arguments(kind: str, slope: bool, dtype: torch.dtype) -> None:
    x = channels_last((2, 24, 5, 7), dtype)
    check_bn_prelu(cpu, x, slope=slope, moments=kind, in_place=True)
    for abs_sum in (False, True):
        check_bn_prelu_backward(cpu, x, slope=slope, terms=kind, abs_sum=abs_sum, in_place=True)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 80), st.integers(1, 20), st.integers(1, 20)),
    dtype=st.sampled_from(DTYPES),
    kind=st.sampled_from(["none", "own", "wide"]),
)
def test_matches_twin_for_any_shape(shape: tuple[int, ...], dtype: torch.dtype, kind: str) -> None:
    x = channels_last(shape, dtype)
    check_bn_prelu(cpu, x, moments=kind, in_place=True)
    check_bn_prelu_backward(cpu, x, terms=kind, in_place=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_zero_is_not_positive(dtype: torch.dtype) -> None:
    check_bn_prelu_at_zero(cpu, dtype)


# The checks below run bn_prelu, bn_add_bn and prelu_difference together.


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(3, 5, 7, 7), (3, 72, 1, 1), (3, 64, 33, 32)], ids=str)
def test_batch_invariance(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    check_fused_batch_invariance(cpu, channels_last(shape, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(2, 5, 7, 7), (2, 70, 33, 32)], ids=str)
def test_constant_channels_have_no_variance(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    check_fused_constant_channels(cpu, channels_last(shape, dtype))


def test_large_mean_keeps_the_variance() -> None:
    check_fused_large_mean(cpu, 5e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_values_stay_in_their_channel(bad: float) -> None:
    check_fused_non_finite(cpu, channels_last((3, 5, 4, 4), torch.float32), bad)


def test_empty_batch() -> None:
    check_fused_empty_batch(cpu)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_thread_count_invariance(dtype: torch.dtype) -> None:
    x = channels_last((3, 72, 40, 40), dtype)  # large enough to be split between threads
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            check_fused_batch_invariance(cpu, x[:2])
    finally:
        torch.set_num_threads(before)


# ---- refusals


def arguments(name: str = "", value: Tensor | None = None) -> dict[str, Tensor]:
    x = channels_last((2, 3, 4, 5), torch.float32)
    values = {n: torch.ones(3) for n in ("scale", "shift", "slope")}
    valid = {"x": x, **values, "y": torch.empty_like(x), "moments": torch.empty(2, 2, 3)}
    return valid if value is None else valid | {name: value}


def backward_arguments(name: str = "", value: Tensor | None = None) -> dict[str, Tensor]:
    given = arguments()
    x = given["x"]
    valid = {"grad": x, "x": x, **{n: given[n] for n in ("scale", "shift", "slope")}}
    valid |= {"terms": torch.ones(2, 2, 3), "grad_x": torch.empty_like(x), "abs_sum": torch.ones(2)}
    return valid if value is None else valid | {name: value}


FOUR = channels_last((2, 3, 4, 5), torch.float32)
LIKE = "of the shape, dtype, device and channels_last memory of the activation"
ROWS = r"of shape \[2, N, C\] = \[2, 2, 3\] with adjacent channels"
REFUSED_ACTIVATIONS = [
    (FOUR.contiguous(), "in channels_last memory; call"),
    (torch.zeros(2, 3, 4), r"of shape \[N, C, H, W\] in channels_last memory"),
    (channels_last((1, 3, 0, 5), torch.float32), r"C, H, W > 0, got C=3, H\*W=0"),
    (channels_last((0, 2**16, 2**8, 2**8), torch.float32), r"N\*C and C\*H\*W below 2\^31"),
]
REFUSED_LIKE = [
    FOUR.contiguous(),
    FOUR[:1],
    FOUR.double(),
    channels_last((2, 3, 5, 4), torch.float32),
    torch.zeros(2, 3),
]
REFUSED_STATISTICS = [
    (torch.ones(3).double(), "in float32"),
    (torch.ones(4), "with 3 elements, got 4"),
    (torch.ones(6)[::2], "expected contiguous"),
]
REFUSED_ROWS = [
    (torch.ones(2, 2, 3).double(), "in float32"),
    (torch.ones(2, 3), ROWS),
    (torch.ones(3, 2, 3), ROWS),
    (torch.ones(2, 1, 3), ROWS),
    (torch.ones(2, 2, 4), ROWS),
    (torch.ones(2, 2, 6)[:, :, ::2], ROWS),
]


@pytest.mark.parametrize(("value", "message"), REFUSED_ACTIVATIONS)
def test_x_is_refused(value: Tensor, message: str) -> None:
    for operator, call in (
        (cpu.bn_prelu, arguments("x", value)),
        (cpu.bn_prelu_backward, backward_arguments("x", value)),
    ):
        with pytest.raises(RuntimeError, match=f"bn_prelu.*: expected .*{message}"):
            operator(**call)


def test_dtype_is_refused() -> None:
    given = arguments() | {n: FOUR.long() for n in ("x", "y")}
    with pytest.raises(RuntimeError, match="tensor of float32, float16, bfloat16 or float64"):
        cpu.bn_prelu(**given)
    given = backward_arguments() | {n: FOUR.long() for n in ("x", "grad", "grad_x")}
    with pytest.raises(RuntimeError, match="tensor of float32, float16, bfloat16 or float64"):
        cpu.bn_prelu_backward(**given)


@pytest.mark.parametrize("value", REFUSED_LIKE)
def test_other_activations_are_refused(value: Tensor) -> None:
    with pytest.raises(RuntimeError, match=f"bn_prelu: expected y {LIKE}"):
        cpu.bn_prelu(**arguments("y", value))
    for name in ("grad", "grad_x"):
        with pytest.raises(RuntimeError, match=f"bn_prelu_backward: expected {name} {LIKE}"):
            cpu.bn_prelu_backward(**backward_arguments(name, value))


@pytest.mark.parametrize("name", ["scale", "shift", "slope"])
@pytest.mark.parametrize(("value", "message"), REFUSED_STATISTICS)
def test_statistics_are_refused(value: Tensor, message: str, name: str) -> None:
    for operator, call in (
        (cpu.bn_prelu, arguments(name, value)),
        (cpu.bn_prelu_backward, backward_arguments(name, value)),
    ):
        with pytest.raises(RuntimeError, match=message) as raised:
            operator(**call)
        assert name in str(raised.value)


@pytest.mark.parametrize("name", ["scale", "shift"])
def test_only_slope_may_be_left_out(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"{name} with 3 elements, got 0"):
        cpu.bn_prelu(**arguments(name, NONE))


@pytest.mark.parametrize(("value", "message"), REFUSED_ROWS)
def test_rows_are_refused(value: Tensor, message: str) -> None:
    with pytest.raises(RuntimeError, match=f"expected moments {message}"):
        cpu.bn_prelu(**arguments("moments", value))
    with pytest.raises(RuntimeError, match=f"expected terms {message}"):
        cpu.bn_prelu_backward(**backward_arguments("terms", value))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(3), "abs_sum with 2 elements, got 3"),
        (torch.ones(2).double(), "abs_sum in float"),
    ],
)
def test_abs_sum_is_refused(value: Tensor, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        cpu.bn_prelu_backward(**backward_arguments("abs_sum", value))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck(dtype: torch.dtype) -> None:
    given = arguments() | {n: channels_last((2, 3, 4, 5), dtype) for n in ("x", "y")}
    torch.library.opcheck(cpu.bn_prelu.default, tuple(given.values()))
    given = backward_arguments()
    given |= {n: channels_last((2, 3, 4, 5), dtype) for n in ("x", "grad", "grad_x")}
    torch.library.opcheck(cpu.bn_prelu_backward.default, tuple(given.values()))
