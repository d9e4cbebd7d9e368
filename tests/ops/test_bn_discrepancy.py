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
    assert_relative,
    check_batch_invariance,
    check_bn_discrepancy,
    check_bn_discrepancy_backward,
    check_constant_channels,
    check_empty_batch,
    check_large_mean,
    check_non_finite,
    running_statistics,
)
from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.ops import bn_discrepancy
from fiqa_fast.ops.bn_discrepancy import bn_discrepancy_reference

cpu = torch.ops.fiqa_fast


def test_smoke() -> None:
    x = torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]]])  # channel 0: mean 2, var 1; channel 1: 5, 0
    result = bn_discrepancy(x, torch.tensor([1.0, 5.0]), torch.tensor([4.0, 2.0]))
    assert result.mean.tolist() == [[2.0, 5.0]]
    assert result.var.tolist() == [[1.0, 0.0]]
    assert result.squared_error.tolist() == [(2 - 1) ** 2 + (1 - 4) ** 2 + 0 + (0 - 2) ** 2]
    std = bn_discrepancy(x, torch.tensor([1.0, 5.0]), torch.tensor([4.0, 9.0]), use_std=True)
    assert std.squared_error.tolist() == [(2 - 1) ** 2 + (1 - 2) ** 2 + 0 + (0 - 3) ** 2]


@pytest.mark.parametrize("use_std", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_reference(
    shape: tuple[int, ...], layout: str, dtype: torch.dtype, use_std: bool
) -> None:
    x = activation(shape, dtype, layout)
    check_bn_discrepancy(cpu, x, use_std)
    check_bn_discrepancy_backward(cpu, x)


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 80), st.integers(1, 40), st.integers(1, 20)),
    layout=st.sampled_from(sorted(LAYOUTS)),
    dtype=st.sampled_from(DTYPES),
    use_std=st.booleans(),
)
def test_matches_reference_for_any_shape(
    shape: tuple[int, ...], layout: str, dtype: torch.dtype, use_std: bool
) -> None:
    x = activation(shape, dtype, layout)
    check_bn_discrepancy(cpu, x, use_std)
    check_bn_discrepancy_backward(cpu, x)


def _gradient(function: object, x: Tensor, weights: list[Tensor], use_std: bool) -> Tensor:
    """The gradient of a weighted sum of all three outputs."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    running = running_statistics(x)
    if function is bn_discrepancy:
        outputs = bn_discrepancy(x, *running, use_std=use_std)
    else:
        outputs = bn_discrepancy_reference(x, *running, use_std)
    loss = sum((o * w.to(o.dtype)).sum() for o, w in zip(outputs, weights, strict=True))
    (grad,) = torch.autograd.grad(loss, x)
    return grad


def _weights(n: int, c: int, only: int | None = None) -> list[Tensor]:
    random = torch.Generator().manual_seed(5)
    weights = [torch.randn(s, generator=random) for s in ((n, c), (n, c), (n,))]
    return [w if only in (None, i) else torch.zeros_like(w) for i, w in enumerate(weights)]


@pytest.mark.parametrize("use_std", [False, True])
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
@pytest.mark.parametrize("only", [0, 1, 2, None], ids=["mean", "var", "squared_error", "all"])
def test_gradient_of_each_output(only: int | None, layout: str, use_std: bool) -> None:
    x = activation((2, 6, 7, 5), torch.float32, layout)
    weights = _weights(2, 6, only)
    exact = _gradient(bn_discrepancy_reference, x.double(), weights, use_std)
    grad = _gradient(bn_discrepancy, x, weights, use_std)
    assert grad.stride() == x.stride()
    assert_relative("grad", grad, exact, 1e-5)


@pytest.mark.parametrize("use_std", [False, True])
@pytest.mark.parametrize("layout", ["nchw", "channels_last", "strided", "transposed"])
def test_gradcheck(layout: str, use_std: bool) -> None:
    x = activation((2, 3, 3, 4), torch.float64, layout).requires_grad_()
    running = running_statistics(x)

    def outputs(x: Tensor) -> tuple[Tensor, ...]:
        return tuple(bn_discrepancy(x, *running, use_std=use_std))

    assert torch.autograd.gradcheck(outputs, (x,))


def test_buffers_get_no_gradient() -> None:
    x = activation((1, 2, 3, 3), torch.float32).requires_grad_()
    mean, var = torch.zeros(2, requires_grad=True), torch.ones(2, requires_grad=True)
    bn_discrepancy(x, mean, var).squared_error.sum().backward()
    assert x.grad is not None
    assert mean.grad is None
    assert var.grad is None


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_gradients_are_rounded_to_nearest_even(dtype: torch.dtype, layout: str) -> None:
    """Every float32 exponent, ties and their neighbours, infinities and NaN: as torch rounds."""
    exponents = torch.arange(2**16, dtype=torch.int64) << 16
    ends = torch.tensor([0, 1, 0xFFF, 0x1000, 0x1001, 0x2FFF, 0x3000, 0x7FFF, 0x8000, 0x8001])
    bits = (exponents[:, None] + ends).flatten()
    alpha = torch.where(bits < 2**31, bits, bits - 2**32).to(torch.int32).view(torch.float32)
    alpha = alpha.reshape(-1, 64)
    x = torch.zeros((*alpha.shape, 1, 2), dtype=dtype)
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    zero = torch.zeros_like(alpha)
    grad_x = cpu.bn_discrepancy_backward(x, zero, alpha, zero)
    expected = alpha.to(dtype)[:, :, None, None].expand(x.shape)
    torch.testing.assert_close(grad_x, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e3])
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_zero_variance_has_a_finite_gradient(layout: str, value: float) -> None:
    x = activation((2, 5, 6, 7), torch.float32, layout)
    x[1, 3] = value
    weights = _weights(2, 5, only=2)
    grad = _gradient(bn_discrepancy, x, weights, use_std=True)
    exact = _gradient(bn_discrepancy_reference, x.double(), weights, use_std=True)
    assert grad.isfinite().all()
    assert_relative("grad", grad, exact, 1e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
@pytest.mark.parametrize("shape", [(2, 5, 7, 7), (2, 70, 33, 32)], ids=str)
def test_constant_channels_have_no_variance(
    shape: tuple[int, ...], layout: str, dtype: torch.dtype
) -> None:
    check_constant_channels(cpu, activation(shape, dtype, layout))


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_large_mean_keeps_the_variance(layout: str) -> None:
    check_large_mean(cpu, 1e-5, layout=layout)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
@pytest.mark.parametrize("shape", [(3, 5, 7, 7), (3, 70, 1, 1), (3, 64, 33, 32)], ids=str)
def test_batch_invariance(shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> None:
    check_batch_invariance(cpu, activation(shape, dtype, layout))


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_thread_count_invariance(layout: str, dtype: torch.dtype) -> None:
    x = activation((4, 70, 40, 40), dtype, layout)  # large enough to be split between threads
    running = running_statistics(x)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            mean, var, error = cpu.bn_discrepancy(x, *running, True)
            results.append((mean, var, error, cpu.bn_discrepancy_backward(x, mean, var, mean)))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_non_finite_values_stay_in_their_channel(layout: str, bad: float) -> None:
    check_non_finite(cpu, activation((3, 5, 4, 4), torch.float32, layout), bad)


def test_empty_batch() -> None:
    check_empty_batch(cpu)
    x = torch.empty((0, 3, 4, 4), requires_grad=True)
    bn_discrepancy(x, torch.zeros(3), torch.ones(3)).squared_error.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
@pytest.mark.parametrize("use_std", [False, True])
def test_opcheck(dtype: torch.dtype, layout: str, use_std: bool) -> None:
    x = activation((2, 3, 4, 5), dtype, layout).requires_grad_()
    torch.library.opcheck(cpu.bn_discrepancy.default, (x, *running_statistics(x), use_std))
    mean, var, _ = cpu.bn_discrepancy(x.detach(), *running_statistics(x), use_std)
    torch.library.opcheck(cpu.bn_discrepancy_backward.default, (x.detach(), mean, var, mean))


@pytest.mark.parametrize("layout", ["nchw", "channels_last", "strided"])
def test_compile(layout: str) -> None:
    x = activation((2, 3, 4, 5), torch.float32, layout).requires_grad_()
    running = running_statistics(x)

    def loss(x: Tensor) -> Tensor:
        return bn_discrepancy(x, *running).squared_error.sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    (expected,) = torch.autograd.grad(loss(x), x)
    (actual,) = torch.autograd.grad(compiled(x), x)
    assert torch.equal(actual, expected)


def test_running_statistics_of_another_dtype() -> None:
    x = activation((2, 3, 4, 4), torch.bfloat16)
    mean, var = running_statistics(x)
    expected = bn_discrepancy(x, mean.bfloat16().float(), var.bfloat16().float())
    actual = bn_discrepancy(x, mean.bfloat16(), var.bfloat16())
    assert torch.equal(actual.squared_error, expected.squared_error)


@pytest.mark.parametrize(
    ("x", "mean", "var", "message"),
    [
        (
            torch.zeros(2, 3, 4),
            torch.zeros(3),
            torch.ones(3),
            r"expected x of shape \[N, C, H, W\]",
        ),
        (
            torch.zeros(2, 3, 0, 4),
            torch.zeros(3),
            torch.ones(3),
            r"C, H, W > 0, got \[2, 3, 0, 4\]",
        ),
        (torch.zeros(2, 3, 4, 4), torch.zeros(4), torch.ones(3), r"running_mean of shape \[3\]"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(3), torch.ones(3, 1), r"running_var of shape \[3\]"),
        (torch.zeros(2, 3, 4, 4).int(), torch.zeros(3), torch.ones(3), r"got torch.int32"),
    ],
)
def test_exceptions(x: Tensor, mean: Tensor, var: Tensor, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        bn_discrepancy(x, mean, var)


@pytest.mark.parametrize(
    ("x", "mean", "message"),
    [
        (torch.zeros(2, 3, 4, 8)[..., ::2], torch.zeros(3), "x contiguous or channels_last"),
        (torch.zeros(3, 4, 4), torch.zeros(3), r"x of shape \[N, C, H, W\], got 3 dimensions"),
        (torch.zeros(2, 3, 4, 0), torch.zeros(3), "C, H, W > 0"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(4), "running_mean with 3 elements, got 4"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(6)[::2], "contiguous running_mean"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(3).double(), "running_mean in float32"),
        (torch.zeros(2, 3, 4, 4).long(), torch.zeros(3), "tensor of float32, float16"),
    ],
)
def test_raw_operator_is_strict(x: Tensor, mean: Tensor, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        cpu.bn_discrepancy(x, mean, torch.ones(3), False)


@pytest.mark.parametrize("name", ["mean", "alpha", "beta"])
def test_raw_gradient_operator_is_strict(name: str) -> None:
    arguments = {n: torch.zeros(2, 3) for n in ("mean", "alpha", "beta")}
    arguments[name] = torch.zeros(2, 4)
    with pytest.raises(RuntimeError, match=f"{name} with 6 elements, got 8"):
        cpu.bn_discrepancy_backward(torch.zeros(2, 3, 4, 4), **arguments)


def test_raw_operator_has_no_kernel_for_other_devices() -> None:
    sparse = torch.zeros(2, 3, 4, 4).to_sparse()
    with pytest.raises(RuntimeError, match="SparseCPU"):
        cpu.bn_discrepancy(sparse, torch.zeros(3), torch.ones(3), False)
