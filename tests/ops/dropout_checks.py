"""What every implementation of dropout_copies must compute: the draws of the plain generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fiqa_fast.noise import Stream
from fiqa_fast.ops.dropout_copies import _threshold, dropout_copies_reference

# N, T, F: whole vectors of 32 features, quads only, several blocks of a GPU.
SHAPES = ((1, 1, 4), (2, 3, 36), (2, 2, 64), (3, 5, 416), (1, 2, 4096 + 32))
SAMPLES = np.array([0, 5, 2**64 - 7], dtype=np.uint64)


def check_dropout_copies(ops: Any, n: int, t: int, f: int, dtype: torch.dtype, device: str) -> None:
    """Bit for bit what `noise.uniform_reference` says."""
    x = torch.randn(n, f, generator=torch.Generator().manual_seed(0)).to(dtype) + 3
    for seed, probability in ((0, 0.4), (2**40 + 5, 0.4), (3, 0.0), (3, 0.9999)):
        expected = torch.empty(n, t, f, dtype=dtype)
        stream = Stream.SER_FIQ_MASKS
        dropout_copies_reference(x, SAMPLES[:n], probability, seed, stream, expected)
        keys = torch.from_numpy(SAMPLES[:n].view(np.int64))
        out = torch.full_like(expected, float("nan")).to(device)
        ops.dropout_copies(
            x.to(device), keys.to(device), seed, int(stream), _threshold(probability), out
        )
        assert torch.equal(out.cpu(), expected)
