"""prelu_difference: reads and writes the differences once; back the same, with a mask of bits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fiqa_fast.ops import prelu_difference, prelu_difference_backward
from fiqa_fast.ops.prelu_difference import (
    prelu_difference_backward_reference,
    prelu_difference_reference,
)


@pytest.fixture
def layout() -> str:
    """The fused operators know one layout."""
    return "channels_last"


def _new_mask(d: Tensor) -> Tensor:
    return torch.zeros(d.numel() // 8, dtype=torch.uint8, device=d.device)


def test_prelu_difference(x: Tensor, compare: Callable[..., None]) -> None:
    """16 copies of one image, as FaceQAN has ten."""
    scale, shift, slope = torch.rand(3, x.shape[1], device=x.device)
    image, out, mask = x[:1].contiguous(memory_format=torch.channels_last), x.clone(), _new_mask(x)
    compare(
        x,
        lambda: prelu_difference(x, image, scale, shift, slope, out=out, mask=mask),
        lambda: prelu_difference_reference(x, image, scale, shift, slope, out, mask),
        moved=2 + 1 / 16 + 1 / (8 * x.element_size()),
        allocates=False,
    )


def test_prelu_difference_backward(x: Tensor, compare: Callable[..., None]) -> None:
    slope, out, mask = torch.rand(x.shape[1], device=x.device), torch.empty_like(x), _new_mask(x)
    compare(
        x,
        lambda: prelu_difference_backward(x, mask, slope, out=out),
        lambda: prelu_difference_backward_reference(x, mask, slope, out),
        moved=2 + 1 / (8 * x.element_size()),
        allocates=False,
    )
