"""The operators on a real CUDA device: the numerics of tests/ops, and what only a device shows."""

from __future__ import annotations

import pytest
import torch
from operator_checks import (
    LAYOUTS,
    SHAPES,
    activation,
    assert_relative,
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
    running_statistics,
)

from fiqa_fast import _extension
from fiqa_fast.ops import abs_sum, bn_discrepancy, sign_step

ops = torch.ops.fiqa_fast
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


pytestmark = pytest.mark.cuda

if not torch.cuda.is_available():
    pytest.skip("no CUDA device: torch.cuda.is_available() is False", allow_module_level=True)


@pytest.fixture(autouse=True, scope="module")
def _built_with_cuda() -> None:
    if _extension.host is None or not _extension.host.built_with_cuda:
        pytest.fail("a CUDA device is here, but the extension was built without CUDA kernels")


@pytest.mark.parametrize("use_std", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bn_discrepancy(
    shape: tuple[int, ...], layout: str, dtype: torch.dtype, use_std: bool
) -> None:
    x = LAYOUTS[layout](activation(shape, dtype).cuda())
    check_bn_discrepancy(ops, x, use_std)
    check_bn_discrepancy_backward(ops, x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_abs_sum_and_sign_step(shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> None:
    x = activation(shape, dtype)
    grad = LAYOUTS[layout](gradient_with_zeros(x).cuda())
    x = LAYOUTS[layout](x.cuda())
    check_abs_sum(ops, x)
    check_sign_step(ops, x, grad)


@pytest.mark.parametrize("use_std", [False, True])
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_gradient_matches_the_cpu(layout: str, use_std: bool) -> None:
    grads = []
    for device in ("cpu", "cuda"):
        x = activation((2, 16, 14, 14), torch.float32, layout).to(device).requires_grad_()
        out = bn_discrepancy(x, *running_statistics(x), use_std=use_std)
        (grad,) = torch.autograd.grad(out.squared_error.sum() + out.var.sum(), x)
        grads.append(grad.cpu())
    assert_relative("grad", grads[1], grads[0].double(), 1e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_batch_invariance(layout: str, dtype: torch.dtype) -> None:
    x = LAYOUTS[layout](activation((4, 24, 33, 32), dtype).cuda())
    check_batch_invariance(ops, x)


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_every_run_gives_the_same_bits(layout: str) -> None:
    x = LAYOUTS[layout](activation((4, 64, 56, 56), torch.float32).cuda())
    first = [*ops.bn_discrepancy(x, *running_statistics(x), True), ops.abs_sum(x)]
    for _ in range(20):
        again = [*ops.bn_discrepancy(x, *running_statistics(x), True), ops.abs_sum(x)]
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_special_values(layout: str) -> None:
    x = LAYOUTS[layout](activation((3, 5, 7, 7), torch.float32).cuda())
    check_constant_channels(ops, x)
    check_large_mean(ops, 2e-3, "cuda", layout)
    for bad in (float("nan"), float("inf")):
        check_non_finite(ops, x, bad)
    check_empty_batch(ops, "cuda")


def test_other_stream() -> None:
    """Kernels run on torch's current stream, so that work queued before them is seen."""
    x = activation((8, 64, 56, 56), torch.float32).cuda()
    expected = abs_sum(x + 1)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(20_000_000)
        y = x + 1
        actual = abs_sum(y)
    torch.cuda.synchronize()
    assert torch.equal(actual, expected)


def test_cuda_graph() -> None:
    """Nothing in the operators synchronises with the host, so a graph can capture them."""
    x = activation((2, 16, 14, 14), torch.float32).cuda()
    running = running_statistics(x)
    sign_step(x, x, step=0.1)
    bn_discrepancy(x, *running)
    abs_sum(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        moved = sign_step(x, x, step=0.1)
        error = bn_discrepancy(moved, *running).squared_error
        total = abs_sum(moved)
    x.copy_(activation((2, 16, 14, 14), torch.float32, seed=11))
    graph.replay()
    expected = sign_step(x, x, step=0.1)
    assert torch.equal(moved, expected)
    assert torch.equal(error, bn_discrepancy(expected, *running).squared_error)
    assert torch.equal(total, abs_sum(expected))


def test_running_statistics_elsewhere_are_refused() -> None:
    x = activation((2, 3, 4, 4), torch.float32).cuda()
    with pytest.raises(RuntimeError, match="running_mean on the device of x"):
        ops.bn_discrepancy(x, torch.zeros(3), torch.ones(3).cuda(), False)
