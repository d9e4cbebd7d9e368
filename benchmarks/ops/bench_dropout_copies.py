"""dropout_copies: writes T copies of the features; the draws are never stored."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fiqa_fast.noise import Stream, uniform
from fiqa_fast.ops import dropout_copies

COPIES = 100


@pytest.mark.parametrize("features", [25088, 50176], ids=["iresnet", "sface"])
def test_dropout_copies(
    device: str, dtype: torch.dtype, features: int, compare: Callable[..., None]
) -> None:
    x = torch.randn(1, features, device=device).to(dtype)
    samples = np.array([7], dtype=np.uint64)
    written = torch.empty(1, COPIES, features, dtype=dtype, device=device)

    def twin() -> Tensor:
        draws = uniform(0, Stream.SER_FIQ_MASKS, samples, COPIES * features)
        return x[:, None] * (draws >= 0.4).reshape(written.shape).to(x)

    compare(
        written,
        lambda: dropout_copies(x, samples, COPIES, 0.4, seed=0, stream=Stream.SER_FIQ_MASKS),
        twin,
        moved=1,
        allocates=True,
    )
