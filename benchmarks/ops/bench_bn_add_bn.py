"""bn_add_bn: reads branch and skip, writes the sum and its normalised form; back the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fiqa_fast.ops import bn_add_bn, bn_add_bn_backward
from fiqa_fast.ops.bn_add_bn import bn_add_bn_backward_reference, bn_add_bn_reference
from fiqa_fast.ops.fused import NONE


@pytest.fixture
def layout() -> str:
    """The fused operators know one layout."""
    return "channels_last"


@pytest.mark.parametrize("gathers", [False, True], ids=["plain", "moments"])
def test_bn_add_bn(x: Tensor, compare: Callable[..., None], gathers: bool) -> None:
    scale, shift = torch.rand(2, x.shape[1], device=x.device)
    skip, y, next_ = torch.randn_like(x), torch.empty_like(x), torch.empty_like(x)
    of_x, of_y = torch.empty(2, 2, *x.shape[:2], device=x.device)
    moments = {"x_moments": of_x, "y_moments": of_y} if gathers else {}

    def twin() -> None:
        taken = (of_x, NONE, of_y) if gathers else (NONE, NONE, NONE)
        bn_add_bn_reference(
            x, scale, shift, skip, NONE, NONE, scale, shift, y, next_, *taken
        )  # fmt: skip

    compare(
        x,
        lambda: bn_add_bn(
            x, scale, shift, skip, next_bn=(scale, shift), out=y, next_out=next_, **moments
        ),
        twin,
        moved=4,
        allocates=False,
    )


def test_bn_add_bn_backward(x: Tensor, compare: Callable[..., None]) -> None:
    scale = torch.rand(x.shape[1], device=x.device)
    y, grad, total, grad_x = (torch.randn_like(x) for _ in range(4))
    y_terms, x_terms = torch.randn(2, 2, *x.shape[:2], device=x.device)
    abs_sum = torch.empty(len(x), device=x.device)
    compare(
        x,
        lambda: bn_add_bn_backward(
            grad, None, y, y_terms, total_out=total, x=x, scale=scale, x_terms=x_terms,
            grad_x_out=grad_x, abs_sum=abs_sum,
        ),
        lambda: bn_add_bn_backward_reference(
            grad, NONE, y, y_terms, x, scale, x_terms, total, grad_x, abs_sum
        ),
        moved=5,
        allocates=False,
    )  # fmt: skip
