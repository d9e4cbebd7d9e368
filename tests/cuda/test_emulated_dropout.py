"""The CUDA path of dropout_copies, run on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from dropout_checks import SHAPES, check_dropout_copies


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bit_for_bit_the_plain_draws(
    emulated: Any, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    check_dropout_copies(emulated, *shape, dtype, "cpu")
