from __future__ import annotations

import pytest
import torch
from fused_checks import (
    NONE,
    SHAPES,
    channels_last,
    check_bn_add_bn,
    check_bn_add_bn_backward,
    placed,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_checks import DTYPES
from torch import Tensor

cpu = torch.ops.fiqa_fast
KINDS = ("none", "own", "wide")


def test_smoke() -> None:
    x = placed(torch.tensor([[[[1.0, 3.0]]]]))
    skip = placed(torch.tensor([[[[10.0, 20.0]]]]))
    one = torch.ones(1)
    y, following = torch.empty_like(x), torch.empty_like(x)
    moments = [torch.empty(2, 1, 1) for _ in range(3)]
    cpu.bn_add_bn(
        x, 2 * one, one, skip, 3 * one, -one, -one, 5 * one, y, following, *moments
    )  # fmt: skip
    assert y.flatten().tolist() == [3.0 + 29, 7.0 + 59]
    assert following.flatten().tolist() == [5.0 - 32, 5.0 - 66]
    assert [m.flatten().tolist() for m in moments] == [[2.0, 1.0], [15.0, 25.0], [49.0, 289.0]]

    total, grad_x, sums = torch.empty_like(x), torch.empty_like(x), torch.empty(1)
    terms = torch.tensor([[[100.0]], [[1.0]]])
    cpu.bn_add_bn_backward(skip, x, y, terms, x, 2 * one, -terms, total, grad_x, sums)
    assert total.flatten().tolist() == [11.0 + 132, 23.0 + 166]
    assert grad_x.flatten().tolist() == [286.0 - 101, 378.0 - 103]
    assert sums.tolist() == [143.0 + 189.0]


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_twin(shape: tuple[int, ...], dtype: torch.dtype, offset: bool) -> None:
    x = channels_last(shape, dtype, offset=offset)
    check_bn_add_bn(cpu, x, y_in="x", next_in="skip")
    check_bn_add_bn_backward(cpu, x, total_in="grad", grad_x_in="other")


@pytest.mark.parametrize(
    ("y_in", "next_in"),
    [("x", "own"), ("skip", "own"), ("own", "x"), ("own", "skip"), ("skip", "x")],
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_outputs_in_place_of_inputs(dtype: torch.dtype, y_in: str, next_in: str) -> None:
    x = channels_last((2, 24, 5, 7), dtype)
    check_bn_add_bn(cpu, x, y_in=y_in, next_in=next_in)
    check_bn_add_bn(cpu, x, y_in=y_in, next_in=next_in, moments=("none",) * 3)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("x_kind", KINDS)
@pytest.mark.parametrize("skip_kind", KINDS)
@pytest.mark.parametrize("y_kind", KINDS)
def test_moments(x_kind: str, skip_kind: str, y_kind: str, dtype: torch.dtype) -> None:
    x = channels_last((2, 20, 5, 7), dtype)
    check_bn_add_bn(cpu, x, moments=(x_kind, skip_kind, y_kind), skip_bn=skip_kind != "none")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("skip_bn", [False, True])
@pytest.mark.parametrize("next_bn", [False, True])
def test_optional_layers(next_bn: bool, skip_bn: bool, dtype: torch.dtype) -> None:
    check_bn_add_bn(cpu, channels_last((2, 20, 5, 7), dtype), skip_bn=skip_bn, next_bn=next_bn)


PARTS = ("grad other y x", "grad other x", "grad y x", "other", "grad", "y", "x", "")


@pytest.mark.parametrize("abs_sum", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("parts", PARTS)
def test_optional_gradients(parts: str, dtype: torch.dtype, abs_sum: bool) -> None:
    x = channels_last((2, 20, 5, 7), dtype)
    check_bn_add_bn_backward(cpu, x, parts=parts, abs_sum=abs_sum)


@pytest.mark.parametrize(
    ("total_in", "grad_x_in"),
    [("grad", "own"), ("other", "own"), ("own", "other"), ("grad", "other")],
)
@pytest.mark.parametrize("x_terms", KINDS)
@pytest.mark.parametrize("y_terms", ["own", "wide"])
def test_gradients_in_place(total_in: str, grad_x_in: str, x_terms: str, y_terms: str) -> None:
    for dtype in DTYPES:
        x = channels_last((2, 24, 5, 7), dtype)
        check_bn_add_bn_backward(
            cpu, x, total_in=total_in, grad_x_in=grad_x_in, x_terms=x_terms, y_terms=y_terms
        )


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 80), st.integers(1, 20), st.integers(1, 20)),
    dtype=st.sampled_from(DTYPES),
    moments=st.tuples(*[st.sampled_from(KINDS)] * 3),
    parts=st.sampled_from(PARTS),
)
def test_matches_twin_for_any_shape(
    shape: tuple[int, ...], dtype: torch.dtype, moments: tuple[str, str, str], parts: str
) -> None:
    x = channels_last(shape, dtype)
    check_bn_add_bn(cpu, x, moments=moments)
    check_bn_add_bn_backward(cpu, x, parts=parts)


# ---- refusals


def arguments(**changed: Tensor) -> dict[str, Tensor]:
    x = channels_last((2, 3, 4, 5), torch.float32)
    statistics = {n: torch.ones(3) for n in ("scale", "shift", "skip_scale", "skip_shift")}
    statistics |= {n: torch.ones(3) for n in ("next_scale", "next_shift")}
    moments = {n: torch.empty(2, 2, 3) for n in ("x_moments", "skip_moments", "y_moments")}
    outputs = {n: torch.empty_like(x) for n in ("y", "next")}
    return {"x": x, "skip": x.clone(), **statistics, **moments, **outputs} | changed


def backward_arguments(**changed: Tensor) -> dict[str, Tensor]:
    x = channels_last((2, 3, 4, 5), torch.float32)
    activations = {n: x.clone() for n in ("grad", "other", "y", "x", "total", "grad_x")}
    terms = {n: torch.ones(2, 2, 3) for n in ("y_terms", "x_terms")}
    return {**activations, **terms, "scale": torch.ones(3), "abs_sum": torch.ones(2)} | changed


LIKE = "of the shape, dtype, device and channels_last memory of the activation"


@pytest.mark.parametrize("name", ["skip", "y", "next"])
def test_other_activations_are_refused(name: str) -> None:
    for value in (
        torch.zeros(2, 3, 4, 5),
        torch.zeros(2, 3),
        channels_last((1, 3, 4, 5), torch.float32),
    ):
        with pytest.raises(RuntimeError, match=f"bn_add_bn: expected {name} {LIKE}"):
            cpu.bn_add_bn(**arguments(**{name: value}))


@pytest.mark.parametrize("name", ["grad", "other", "y", "x", "grad_x"])
def test_other_gradients_are_refused(name: str) -> None:
    for value in (
        torch.zeros(2, 3, 4, 5),
        torch.zeros(2, 3),
        channels_last((1, 3, 4, 5), torch.float32),
    ):
        with pytest.raises(RuntimeError, match=f"bn_add_bn_backward: expected {name} {LIKE}"):
            cpu.bn_add_bn_backward(**backward_arguments(**{name: value}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(2, 3, 4, 5), "in channels_last memory; call"),
        (torch.zeros(2, 3, 4), r"of shape \[N, C, H, W\] in channels_last memory"),
        (channels_last((1, 3, 0, 5), torch.float32), r"C, H, W > 0, got C=3, H\*W=0"),
        (channels_last((0, 2**16, 2**8, 2**8), torch.float32), r"N\*C and C\*H\*W below 2\^31"),
    ],
)
def test_the_first_activation_is_refused(value: Tensor, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        cpu.bn_add_bn(**arguments(x=value))
    with pytest.raises(RuntimeError, match=message):
        cpu.bn_add_bn_backward(**backward_arguments(total=value))


def test_dtype_is_refused() -> None:
    message = "tensor of float32, float16, bfloat16 or float64"
    x = channels_last((2, 3, 4, 5), torch.float32).long()
    with pytest.raises(RuntimeError, match=message):
        cpu.bn_add_bn(**arguments(**dict.fromkeys(("x", "skip", "y", "next"), x)))
    activations = ("grad", "other", "y", "x", "total", "grad_x")
    with pytest.raises(RuntimeError, match=message):
        cpu.bn_add_bn_backward(**backward_arguments(**dict.fromkeys(activations, x)))


@pytest.mark.parametrize(
    "name", ["scale", "shift", "skip_scale", "skip_shift", "next_scale", "next_shift"]
)
def test_statistics_are_refused(name: str) -> None:
    for value, message in (
        (torch.ones(3).double(), f"{name} in float32"),
        (torch.ones(4), f"{name} with 3 elements, got 4"),
        (torch.ones(6)[::2], f"contiguous {name}"),
    ):
        with pytest.raises(RuntimeError, match=message):
            cpu.bn_add_bn(**arguments(**{name: value}))
        if name == "scale":
            with pytest.raises(RuntimeError, match=message):
                cpu.bn_add_bn_backward(**backward_arguments(scale=value))


@pytest.mark.parametrize("name", ["scale", "shift"])
def test_the_first_statistics_are_needed(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"{name} with 3 elements, got 0"):
        cpu.bn_add_bn(**arguments(**{name: NONE}))


@pytest.mark.parametrize("name", ["x_moments", "skip_moments", "y_moments"])
def test_moments_are_refused(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"{name} in float32"):
        cpu.bn_add_bn(**arguments(**{name: torch.ones(2, 2, 3).double()}))
    with pytest.raises(RuntimeError, match=rf"{name} of shape \[2, N, C\] = \[2, 2, 3\]"):
        cpu.bn_add_bn(**arguments(**{name: torch.ones(2, 3, 2)}))


@pytest.mark.parametrize("name", ["x_terms", "y_terms"])
def test_terms_are_refused(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"{name} in float32"):
        cpu.bn_add_bn_backward(**backward_arguments(**{name: torch.ones(2, 2, 3).double()}))
    with pytest.raises(RuntimeError, match=rf"{name} of shape \[2, N, C\] = \[2, 2, 3\]"):
        cpu.bn_add_bn_backward(**backward_arguments(**{name: torch.ones(2, 2, 6)[:, :, ::2]}))


def test_abs_sum_is_refused() -> None:
    with pytest.raises(RuntimeError, match="abs_sum with 2 elements, got 3"):
        cpu.bn_add_bn_backward(**backward_arguments(abs_sum=torch.ones(3)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("skip_scale", "skip_scale and skip_shift"),
        ("skip_shift", "skip_scale and skip_shift"),
        ("next_scale", "next_scale and next_shift"),
        ("next_shift", "next_scale and next_shift"),
        ("next", "next_scale and next"),
    ],
)
def test_half_of_a_layer_is_refused(name: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=f"{message} both given or both empty"):
        cpu.bn_add_bn(**arguments(**{name: NONE}))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("y", "y and y_terms"),
        ("y_terms", "y and y_terms"),
        ("x", "x and scale"),
        ("scale", "x and scale"),
        ("grad_x", "x and grad_x"),
    ],
)
def test_half_of_a_gradient_is_refused(name: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=f"{message} both given or both empty"):
        cpu.bn_add_bn_backward(**backward_arguments(**{name: NONE}))


def test_opcheck() -> None:
    # By keyword: opcheck takes the schema's order from the operator.
    torch.library.opcheck(cpu.bn_add_bn.default, (), arguments())
    torch.library.opcheck(cpu.bn_add_bn_backward.default, (), backward_arguments())
