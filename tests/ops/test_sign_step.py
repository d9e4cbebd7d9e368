from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_checks import (
    DTYPES,
    LAYOUTS,
    SHAPES,
    activation,
    check_sign_step,
    gradient_with_zeros,
)
from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.ops import sign_step
from fiqa_fast.ops.sign_step import sign_step_reference

cpu = torch.ops.fiqa_fast


def test_smoke() -> None:
    x = torch.tensor([0.5, 0.5, 0.5, 0.9, -0.9])
    grad = torch.tensor([1e-30, -5.0, 0.0, 2.0, -2.0])
    assert sign_step(x, grad, step=0.25).tolist() == [0.75, 0.25, 0.5, 1.0, -1.0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_reference(shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> None:
    x = activation(shape, dtype, layout)
    check_sign_step(cpu, x, gradient_with_zeros(x))


@settings(max_examples=60)
@given(
    values=st.lists(st.tuples(st.floats(width=16), st.floats(width=16)), min_size=0, max_size=70),
    dtype=st.sampled_from(DTYPES),
    step=st.floats(0, 4),
    bounds=st.tuples(st.floats(-4, 4), st.floats(-4, 4)).map(sorted),
)
def test_matches_reference_for_any_value(
    values: list[tuple[float, float]], dtype: torch.dtype, step: float, bounds: list[float]
) -> None:
    """Bit for bit, with every infinity, NaN, subnormal and signed zero that hypothesis tries."""
    x = torch.tensor([v for v, _ in values], dtype=dtype)
    grad = torch.tensor([g for _, g in values], dtype=dtype)
    low, high = bounds
    torch.testing.assert_close(
        sign_step(x, grad, step=step, low=low, high=high),
        sign_step_reference(x, grad, step, low, high),
        rtol=0,
        atol=0,
        equal_nan=True,
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_every_16_bit_value_is_read_and_written(dtype: torch.dtype) -> None:
    x = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    still = sign_step(x, torch.zeros_like(x), step=1.0, low=-torch.inf, high=torch.inf)
    torch.testing.assert_close(still, x, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("x_layout", "grad_layout"),
    [("nchw", "channels_last"), ("strided",) * 2, ("channels_last", "transposed")],
)
def test_layouts_may_differ(x_layout: str, grad_layout: str) -> None:
    x = activation((2, 5, 4, 6), torch.float32, x_layout)
    grad = activation((2, 5, 4, 6), torch.float32, grad_layout, seed=8)
    assert torch.equal(sign_step(x, grad, step=0.5), sign_step_reference(x, grad, 0.5, -1.0, 1.0))


def test_result_keeps_the_layout_of_x() -> None:
    x = activation((2, 5, 4, 6), torch.float32, "channels_last")
    assert sign_step(x, x.contiguous(), step=0.5).stride() == x.stride()


def test_inputs_are_left_alone() -> None:
    x, grad = activation((2, 5, 4, 6), torch.float32), activation((2, 5, 4, 6), torch.float32)
    before = x.clone()
    moved = sign_step(x, grad, step=0.5)
    assert torch.equal(x, before)
    assert moved.data_ptr() != x.data_ptr()


def test_not_differentiable() -> None:
    x = torch.zeros(3, requires_grad=True)
    assert not sign_step(x, torch.ones(3), step=0.5).requires_grad


def test_nan_is_kept() -> None:
    x = torch.tensor([float("nan"), 0.0, float("inf"), -float("inf")])
    grad = torch.tensor([1.0, float("nan"), -1.0, float("inf")])
    moved = sign_step(x, grad, step=0.5)
    assert moved.isnan().tolist() == [True, True, False, False]
    assert moved[2:].tolist() == [1.0, -1.0]


def test_thread_count_invariance() -> None:
    x, grad = torch.randn(2, 300_000, generator=torch.Generator().manual_seed(9))
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(sign_step(x, grad, step=0.1))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("shape", [(0,), (0, 3, 4, 4), (), (1,)], ids=str)
def test_empty_and_scalar(shape: tuple[int, ...]) -> None:
    moved = sign_step(torch.zeros(shape), torch.ones(shape), step=0.5)
    assert torch.equal(moved, torch.full(shape, 0.5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_opcheck(dtype: torch.dtype, layout: str) -> None:
    x = activation((2, 3, 4, 5), dtype, layout)
    torch.library.opcheck(cpu.sign_step.default, (x, x.clone(), 0.1, -1.0, 1.0))


def test_compile() -> None:
    x, grad = activation((2, 3, 4, 5), torch.float32), activation((2, 3, 4, 5), torch.float32)

    def attack(x: Tensor, grad: Tensor) -> Tensor:
        return sign_step(x, grad, step=0.1)

    compiled = torch.compile(attack, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x, grad), attack(x, grad))


@pytest.mark.parametrize(
    ("x", "grad", "bounds", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 2), (-1, 1), r"shape \[2, 3\] .* got \[3, 2\]"),
        (torch.zeros(2), torch.zeros(2).double(), (-1, 1), r"dtype torch.float32 like x"),
        (torch.zeros(2).int(), torch.zeros(2).int(), (-1, 1), r"got torch.int32"),
        (torch.zeros(2), torch.zeros(2), (1, -1), r"low <= high, got low=1, high=-1; swap"),
        (torch.zeros(2), torch.zeros(2), (float("nan"), 1), r"low <= high, got low=nan"),
    ],
)
def test_exceptions(x: Tensor, grad: Tensor, bounds: tuple[float, float], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        sign_step(x, grad, step=0.1, low=bounds[0], high=bounds[1])


_CHANNELS_LAST = torch.zeros(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("x", "grad", "bounds", "message"),
    [
        (_CHANNELS_LAST, torch.zeros(2, 3, 4, 4), (-1, 1), "both contiguous or both channels_last"),
        (torch.zeros(4)[::2], torch.zeros(4)[::2], (-1, 1), "both contiguous"),
        (torch.zeros(2, 3), torch.zeros(2, 4), (-1, 1), "got size 4 instead of 3 in dimension 1"),
        (torch.zeros(2, 3), torch.zeros(2), (-1, 1), "got 1 dimensions instead of 2"),
        (torch.zeros(2), torch.zeros(2).half(), (-1, 1), "grad of the dtype of x"),
        (torch.zeros(2), torch.zeros(2), (1, -1), "expected low <= high"),
        (torch.zeros(2).int(), torch.zeros(2).int(), (-1, 1), "tensor of float32, float16"),
        (torch.zeros(2).to_sparse(), torch.zeros(2).to_sparse(), (-1, 1), "SparseCPU"),
    ],
)
def test_raw_operator_is_strict(
    x: Tensor, grad: Tensor, bounds: tuple[float, float], message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        cpu.sign_step(x, grad, 0.1, *bounds)
