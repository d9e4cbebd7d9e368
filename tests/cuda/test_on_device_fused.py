"""The fused operators on a real CUDA device: the numerics of tests/ops, and what only it shows."""

from __future__ import annotations

import pytest
import torch
from fused_checks import (
    SHAPES,
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
    placed,
    rows,
    run_all,
)
from torch import Tensor

from fiqa_fast import _extension
from fiqa_fast.ops import bn_prelu

ops = torch.ops.fiqa_fast
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# The last has more blocks than a GPU runs at a time.
DEVICE_SHAPES = (*SHAPES, (4, 64, 56, 56), (3, 512, 7, 7), (2, 256, 14, 14), (8, 64, 112, 112))

pytestmark = pytest.mark.cuda

if not torch.cuda.is_available():
    pytest.skip("no CUDA device: torch.cuda.is_available() is False", allow_module_level=True)


@pytest.fixture(autouse=True, scope="module")
def _built_with_cuda() -> None:
    if _extension.host is None or not _extension.host.built_with_cuda:
        pytest.fail("a CUDA device is here, but the extension was built without CUDA kernels")


def on_device(shape: tuple[int, ...], dtype: torch.dtype, *, offset: bool = False) -> Tensor:
    return placed(channels_last(shape, dtype).cuda(), offset=offset)


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", DEVICE_SHAPES, ids=str)
def test_matches_twin(shape: tuple[int, ...], dtype: torch.dtype, offset: bool) -> None:
    x = on_device(shape, dtype, offset=offset)
    check_bn_prelu(ops, x, in_place=True)
    check_bn_prelu_backward(ops, x, in_place=True)
    check_bn_add_bn(ops, x, y_in="x", next_in="skip")
    check_bn_add_bn_backward(ops, x, total_in="grad", grad_x_in="other")
    if shape[1] % 8 == 0:
        check_prelu_difference(ops, x, 3, in_place=True)
        check_prelu_difference_backward(ops, x, in_place=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["none", "own", "wide"])
def test_optional_arguments(kind: str, dtype: torch.dtype) -> None:
    for shape in ((2, 24, 5, 7), (2, 64, 28, 28)):
        x = on_device(shape, dtype)
        for flag in (False, True):
            check_bn_prelu(ops, x, slope=flag, moments=kind)
            check_bn_prelu_backward(ops, x, slope=flag, terms=kind, abs_sum=flag)
            check_bn_add_bn(ops, x, skip_bn=flag, next_bn=not flag, moments=(kind, "none", "wide"))
            check_prelu_difference(ops, x, 2, mask=flag)
        for parts in ("grad other x", "grad y", "other", "y x", "x", ""):
            check_bn_add_bn_backward(ops, x, parts=parts, x_terms=kind, abs_sum=kind == "own")


@pytest.mark.parametrize(
    ("first", "second"), [("x", "own"), ("skip", "own"), ("own", "x"), ("own", "skip")]
)
def test_in_place(first: str, second: str) -> None:
    for dtype in DTYPES:
        check_bn_add_bn(ops, on_device((2, 64, 28, 28), dtype), y_in=first, next_in=second)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_batch_invariance(dtype: torch.dtype) -> None:
    for shape in ((4, 24, 33, 32), (3, 5, 7, 7), (3, 512, 7, 7)):
        check_fused_batch_invariance(ops, on_device(shape, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_run_gives_the_same_bits(dtype: torch.dtype) -> None:
    x = on_device((4, 64, 56, 56), dtype)
    first = run_all(ops, x)
    for _ in range(20):
        again = run_all(ops, x)
        assert all(torch.equal(first[name], again[name]) for name in first)


def test_special_values() -> None:
    for shape in ((3, 5, 7, 7), (3, 64, 28, 28)):
        x = on_device(shape, torch.float32)
        check_fused_constant_channels(ops, x)
        for bad in (float("nan"), float("inf")):
            check_fused_non_finite(ops, x, bad)
    check_fused_large_mean(ops, 2e-3, "cuda")
    check_fused_empty_batch(ops, "cuda")
    for dtype in DTYPES:
        check_bn_prelu_at_zero(ops, dtype, "cuda")


def test_other_stream() -> None:
    """Kernels run on torch's current stream, so that work queued before them is seen."""
    x = on_device((8, 64, 56, 56), torch.float32)
    scale = torch.ones(64, device="cuda")
    expected = bn_prelu(x + 1, scale, scale)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(20_000_000)
        actual = bn_prelu(x + 1, scale, scale)
    torch.cuda.synchronize()
    assert torch.equal(actual, expected)


def test_cuda_graph() -> None:
    """Nothing in the operators synchronises with the host, so a graph can capture them."""
    x = on_device((2, 16, 28, 28), torch.float32)
    scale, moments = torch.ones(16, device="cuda"), rows(x)
    y = bn_prelu(x, scale, scale, moments=moments)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        bn_prelu(x, scale, scale, out=y, moments=moments)
    x.copy_(channels_last((2, 16, 28, 28), torch.float32, seed=11))
    graph.replay()
    again = rows(x)
    assert torch.equal(y, bn_prelu(x, scale, scale, moments=again))
    assert torch.equal(moments, again)


def test_statistics_elsewhere_are_refused() -> None:
    x = on_device((2, 3, 4, 4), torch.float32)
    with pytest.raises(RuntimeError, match="scale on the device of x"):
        bn_prelu(x, torch.ones(3), torch.ones(3).cuda())
