from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_checks import DTYPES, LAYOUTS, SHAPES, activation, check_abs_sum
from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.ops import abs_sum
from fiqa_fast.ops.abs_sum import abs_sum_reference

cpu = torch.ops.fiqa_fast


def test_smoke() -> None:
    x = torch.tensor([[1.0, -2.0], [0.5, -0.0]])
    assert abs_sum(x).tolist() == [3.0, 0.5]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_reference(shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> None:
    check_abs_sum(cpu, activation(shape, dtype, layout))


@settings(max_examples=60)
@given(
    shape=st.lists(st.integers(0, 12), min_size=1, max_size=5).map(tuple),
    transpose=st.booleans(),
    dtype=st.sampled_from(DTYPES),
)
def test_matches_reference_for_any_shape(
    shape: tuple[int, ...], transpose: bool, dtype: torch.dtype
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(6)).to(dtype)
    if transpose:
        x = x.transpose(0, -1)
    torch.testing.assert_close(abs_sum(x), abs_sum_reference(x), rtol=1e-6, atol=0)


@pytest.mark.parametrize("length", [1, 511, 513, 16383, 16384, 16385, 100_001])
def test_every_part_is_summed(length: int) -> None:
    """Integers below 2^24 make every sum exact; lengths around those of runs and parts."""
    x = (torch.arange(2 * length) % 7 - 3).float().reshape(2, length)
    assert torch.equal(abs_sum(x), x.abs().long().sum(1).float())


def test_long_sums_keep_their_precision() -> None:
    """A float32 accumulator would stop growing at 2^24."""
    x = torch.ones(1, 2**24 + 2**12)
    assert abs_sum(x).item() == 2**24 + 2**12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("layout", ["nchw", "channels_last", "strided"])
def test_gradient(layout: str, dtype: torch.dtype) -> None:
    x = activation((2, 3, 4, 4), dtype, layout)
    x[0, 0, 0, 0] = 0
    x.requires_grad_()
    weights = torch.tensor([2.0, -0.5])
    (grad,) = torch.autograd.grad((abs_sum(x) * weights).sum(), x)
    assert torch.equal(grad, x.detach().sign() * weights[:, None, None, None].to(dtype))


@pytest.mark.parametrize("shape", [(3,), (2, 5), (2, 3, 2, 4)], ids=str)
def test_gradcheck(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    x = (x + x.sign() * 0.1).requires_grad_()  # away from the kink at 0
    assert torch.autograd.gradcheck(abs_sum, (x,))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_batch_invariance(dtype: torch.dtype) -> None:
    x = activation((3, 5, 70, 63), dtype)
    assert torch.equal(abs_sum(x), torch.cat([abs_sum(x[i : i + 1]) for i in range(3)]))


def test_thread_count_invariance() -> None:
    x = activation((3, 64, 40, 40), torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(abs_sum(x))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_non_finite(bad: float) -> None:
    x = torch.ones(2, 40)
    x[1, 33] = bad
    torch.testing.assert_close(abs_sum(x), torch.tensor([40.0, abs(bad)]), equal_nan=True)


@pytest.mark.parametrize("shape", [(0,), (0, 3, 4, 4), (2, 0), (0, 0)], ids=str)
def test_empty(shape: tuple[int, ...]) -> None:
    x = torch.empty(shape)
    assert torch.equal(abs_sum(x), torch.zeros(shape[0]))
    assert torch.equal(abs_sum_reference(x), torch.zeros(shape[0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_opcheck(dtype: torch.dtype, layout: str) -> None:
    x = activation((2, 3, 4, 5), dtype, layout).requires_grad_()
    torch.library.opcheck(cpu.abs_sum.default, (x,))


def test_compile() -> None:
    x = activation((2, 3, 4, 5), torch.float32).requires_grad_()
    compiled = torch.compile(abs_sum, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), abs_sum(x))
    (grad,) = torch.autograd.grad(compiled(x).sum(), x)
    assert torch.equal(grad, x.detach().sign())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.tensor(1.0), r"expected x of shape \[N, ...\], got a scalar; add a batch"),
        (torch.zeros(2, 3, dtype=torch.int64), r"got torch.int64; convert it with x.to"),
    ],
)
def test_exceptions(x: Tensor, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        abs_sum(x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.tensor(1.0), "got a scalar"),
        (torch.zeros(4, 4).t()[:3], "x contiguous or channels_last"),
        (torch.zeros(2, 3).long(), "tensor of float32, float16"),
        (torch.zeros(2, 3).to_sparse(), "SparseCPU"),
    ],
)
def test_raw_operator_is_strict(x: Tensor, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        cpu.abs_sum(x)
