from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from operator_checks import DTYPES, LAYOUTS, activation

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.ops import abs_sum
from fiqa_fast.ops.layout import check_dtype, dense, in_layout_of, is_channels_last

SHAPE = (2, 3, 4, 5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dense_keeps_the_values(layout: str) -> None:
    x = activation(SHAPE, torch.float32, layout)
    assert torch.equal(dense(x), x)


@pytest.mark.parametrize("layout", ["nchw", "channels_last", "channels_last_slice", "offset"])
def test_dense_copies_nothing_that_is_dense(layout: str) -> None:
    x = activation(SHAPE, torch.float32, layout)
    assert dense(x) is x


@pytest.mark.parametrize("layout", ["strided", "transposed", "expanded"])
def test_dense_copies_everything_else(layout: str) -> None:
    x = activation(SHAPE, torch.float32, layout)
    assert dense(x).is_contiguous()
    assert dense(x).data_ptr() != x.data_ptr()


@given(
    shape=st.tuples(*[st.integers(0, 3)] * 4),
    order=st.permutations(range(4)),
    steps=st.tuples(*[st.integers(1, 2)] * 4),
)
def test_operators_accept_whatever_dense_returns(
    shape: tuple[int, ...], order: list[int], steps: tuple[int, ...]
) -> None:
    """The Python and the C++ idea of a dense layout agree, in dimensions of size 0 and 1 too."""
    x = torch.ones([a * s for a, s in zip(shape, steps, strict=True)])
    x = x[tuple(slice(None, None, s) for s in steps)].permute(order)
    samples = x.shape[0]
    expected = x.numel() / samples if samples else 0
    assert abs_sum(x).tolist() == [expected] * samples


@pytest.mark.parametrize(
    ("layout", "expected"),
    [("nchw", False), ("channels_last", True), ("transposed", False), ("strided", False)],
)
def test_is_channels_last(layout: str, expected: bool) -> None:
    assert is_channels_last(activation(SHAPE, torch.float32, layout)) is expected


def test_only_four_dimensions_are_channels_last() -> None:
    assert not is_channels_last(torch.zeros(2, 3, 4))


@pytest.mark.parametrize("like", ["nchw", "channels_last"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_in_layout_of(layout: str, like: str) -> None:
    x = activation(SHAPE, torch.float32, layout)
    model = activation(SHAPE, torch.float32, like)
    moved = in_layout_of(x, model)
    assert moved.stride() == model.stride()
    assert torch.equal(moved, x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_check_dtype_accepts(dtype: torch.dtype) -> None:
    check_dtype("op", "x", torch.zeros(1, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64], ids=str)
def test_check_dtype_refuses(dtype: torch.dtype) -> None:
    with pytest.raises(InvalidArgumentError, match=f"op: expected weight .* got {dtype}; convert"):
        check_dtype("op", "weight", torch.zeros(1, dtype=dtype))
