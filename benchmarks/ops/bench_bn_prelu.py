"""bn_prelu: reads and writes the activation once, gathering moments; back reads two, writes one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fiqa_fast.ops import bn_prelu, bn_prelu_backward
from fiqa_fast.ops.bn_prelu import bn_prelu_backward_reference, bn_prelu_reference
from fiqa_fast.ops.fused import NONE


def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    scale, shift, slope = torch.rand(3, x.shape[1], generator=generator).to(x.device)
    return scale, shift, slope


@pytest.fixture
def layout() -> str:
    """The fused operators know one layout."""
    return "channels_last"


@pytest.mark.parametrize("gathers", [False, True], ids=["plain", "moments"])
def test_bn_prelu(x: Tensor, compare: Callable[..., None], gathers: bool) -> None:
    statistics, out = _statistics(x), torch.empty_like(x)
    moments = torch.empty(2, *x.shape[:2], device=x.device) if gathers else None
    compare(
        x,
        lambda: bn_prelu(x, *statistics, out=out, moments=moments),
        lambda: bn_prelu_reference(x, *statistics, out, NONE if moments is None else moments),
        moved=2,
        allocates=False,
    )


def test_bn_prelu_backward(x: Tensor, compare: Callable[..., None]) -> None:
    statistics, out, grad = _statistics(x), torch.empty_like(x), torch.randn_like(x)
    terms = torch.randn(2, *x.shape[:2], device=x.device)
    abs_sum = torch.empty(len(x), device=x.device)
    compare(
        x,
        lambda: bn_prelu_backward(grad, x, *statistics, terms=terms, out=out, abs_sum=abs_sum),
        lambda: bn_prelu_backward_reference(grad, x, *statistics, terms, out, abs_sum),
        moved=3,
        allocates=False,
    )
