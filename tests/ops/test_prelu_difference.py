from __future__ import annotations

import pytest
import torch
from fused_checks import (
    SHAPES,
    channels_last,
    check_prelu_difference,
    check_prelu_difference_backward,
    mask_for,
    placed,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_checks import DTYPES
from torch import Tensor

cpu = torch.ops.fiqa_fast
EIGHTS = [shape for shape in SHAPES if shape[1] % 8 == 0]


def test_smoke() -> None:
    x = placed(torch.tensor([1.0, -1, 1, -1, 0, 0, 0, 0])[None, :, None, None])
    d = placed(torch.tensor([0.5, 0.5, -3, 3, 0, 2, -2, 0])[None, :, None, None])
    one, out, mask = torch.ones(8), torch.empty_like(d), mask_for(d)
    cpu.prelu_difference(d, x, 2 * one, 0 * one, 0.25 * one, out, mask)
    # z: 2, -2, 2, -2, 0 ...; z + d: 2.5, -1.5, -1, 1, 0, 2, -2, 0
    assert out.flatten().tolist() == [0.5, 0.125, -2.25, 1.5, 0.0, 2.0, -0.5, 0.0]
    assert mask.flatten().tolist() == [0b00101001]
    grad = torch.empty_like(d)
    cpu.prelu_difference_backward(out, mask, 0.25 * one, grad)
    assert grad.flatten().tolist() == [0.5, 0.03125, -0.5625, 1.5, 0.0, 2.0, -0.125, 0.0]


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", EIGHTS, ids=str)
def test_matches_twin(shape: tuple[int, ...], dtype: torch.dtype, offset: bool) -> None:
    x = channels_last(shape, dtype, offset=offset)
    for k, mask in ((1, True), (3, False)):
        check_prelu_difference(cpu, x, k, mask=mask, in_place=True)
    check_prelu_difference_backward(cpu, x, in_place=True)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 3),
    eighths=st.integers(1, 10),
    size=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    k=st.integers(0, 4),
    dtype=st.sampled_from(DTYPES),
)
def test_matches_twin_for_any_shape(
    n: int, eighths: int, size: tuple[int, int], k: int, dtype: torch.dtype
) -> None:
    x = channels_last((n, 8 * eighths, *size), dtype)
    check_prelu_difference(cpu, x, k, in_place=True)
    check_prelu_difference_backward(cpu, x, in_place=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tiny_differences_keep_their_digits(dtype: torch.dtype) -> None:
    """1e-5 beside 100: the difference of two bf16 numbers would be 0."""
    x = placed(torch.full((1, 8, 3, 3), 100.0, dtype=dtype))
    d = placed(torch.full_like(x, 1e-5))
    out, one = (
        torch.empty_like(d),
        torch.ones(8, dtype=torch.double if dtype == torch.double else None),
    )
    cpu.prelu_difference(d, x, one, one, one * 0.5, out, mask_for(d))
    assert torch.equal(out, d)


# ---- refusals


def arguments(**changed: Tensor) -> dict[str, Tensor]:
    x = channels_last((2, 8, 4, 5), torch.float32)
    d = channels_last((6, 8, 4, 5), torch.float32)
    statistics = {n: torch.ones(8) for n in ("scale", "shift", "slope")}
    return {"d": d, "x": x, **statistics, "out": d.clone(), "mask": mask_for(d)} | changed


def backward_arguments(**changed: Tensor) -> dict[str, Tensor]:
    grad = channels_last((6, 8, 4, 5), torch.float32)
    given = {"grad": grad, "mask": mask_for(grad), "slope": torch.ones(8), "grad_d": grad.clone()}
    return given | changed


LIKE = "of the shape, dtype, device and channels_last memory of the activation"
COPIES = r"d of shape \[N \* k, C, H, W\] for x of \[N, C, H, W\], of its dtype"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("d", torch.zeros(6, 8, 4, 5), "d of shape .* in channels_last memory"),
        ("x", torch.zeros(2, 8, 4, 5), "x of shape .* in channels_last memory"),
        ("d", torch.zeros(6, 8, 4), "d of shape .* in channels_last memory"),
        ("x", channels_last((1, 8, 0, 5), torch.float32), "x .*C, H, W > 0"),
        ("d", channels_last((5, 8, 4, 5), torch.float32), COPIES),
        ("d", channels_last((6, 16, 4, 5), torch.float32), COPIES),
        ("d", channels_last((6, 8, 5, 5), torch.float32), COPIES),
        ("d", channels_last((6, 8, 4, 5), torch.bfloat16), COPIES),
        ("x", channels_last((2, 12, 4, 5), torch.float32), "channels that 8 divides, got 12"),
        ("x", channels_last((0, 8, 4, 5), torch.float32), COPIES),
        ("out", channels_last((2, 8, 4, 5), torch.float32), f"out {LIKE}"),
        ("out", torch.zeros(6, 8, 4, 5), f"out {LIKE}"),
        ("scale", torch.ones(9), "scale with 8 elements, got 9"),
        ("shift", torch.ones(8).double(), "shift in float32"),
        ("slope", torch.empty(0), "slope with 8 elements, got 0"),
        ("mask", torch.zeros(6, 4, 5, 1), "mask as contiguous uint8"),
        ("mask", torch.zeros(119, dtype=torch.uint8), "one bit for each of 960 elements, got 119"),
        ("mask", torch.zeros(240, dtype=torch.uint8)[::2], "mask as contiguous uint8"),
    ],
)
def test_arguments_are_refused(name: str, value: Tensor, message: str) -> None:
    with pytest.raises(RuntimeError, match=f"prelu_difference: expected .*{message}"):
        cpu.prelu_difference(**arguments(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("grad", torch.zeros(6, 8, 4, 5), "grad of shape .* in channels_last memory"),
        ("grad", channels_last((6, 12, 4, 5), torch.float32), "channels that 8 divides, got 12"),
        ("mask", torch.empty(0, dtype=torch.uint8), "mask as contiguous uint8"),
        ("slope", torch.ones(7), "slope with 8 elements, got 7"),
        ("grad_d", torch.zeros(6, 8, 4, 5), f"grad_d {LIKE}"),
    ],
)
def test_gradient_arguments_are_refused(name: str, value: Tensor, message: str) -> None:
    with pytest.raises(RuntimeError, match=f"prelu_difference_backward: expected .*{message}"):
        cpu.prelu_difference_backward(**backward_arguments(**{name: value}))


def test_dtype_is_refused() -> None:
    message = "tensor of float32, float16, bfloat16 or float64"
    given = {n: v.long() for n, v in arguments().items() if n in ("d", "x", "out")}
    with pytest.raises(RuntimeError, match=message):
        cpu.prelu_difference(**arguments(**given))
    given = {n: v.long() for n, v in backward_arguments().items() if n in ("grad", "grad_d")}
    with pytest.raises(RuntimeError, match=message):
        cpu.prelu_difference_backward(**backward_arguments(**given))


def test_opcheck() -> None:
    torch.library.opcheck(cpu.prelu_difference.default, (), arguments())
    torch.library.opcheck(cpu.prelu_difference_backward.default, (), backward_arguments())
