"""quantize: reads the activation, writes a byte for each element."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fiqa_fast.ops import quantize
from fiqa_fast.ops.quantize import quantize_reference


@pytest.fixture
def layout() -> str:
    """The fused operators know one layout."""
    return "channels_last"


@pytest.fixture
def device() -> str:
    """It runs on the CPU only."""
    return "cpu"


def test_quantize(x: Tensor, compare: Callable[..., None]) -> None:
    scale, shift, slope = torch.rand(3, x.shape[1], generator=torch.Generator().manual_seed(0))
    out = torch.empty_like(x, dtype=torch.uint8)
    compare(
        x,
        lambda: quantize(x, 50 * scale, shift, slope, out=out),
        lambda: quantize_reference(x, 50 * scale, shift, slope, out),
        moved=1 + 1 / x.element_size(),
        allocates=False,
    )
