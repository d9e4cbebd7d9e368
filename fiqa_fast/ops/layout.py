"""Brings tensors into the memory layouts that the compiled operators accept."""

from __future__ import annotations

import torch
from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def dense(x: Tensor) -> Tensor:
    """`x` itself when it is contiguous or channels_last, else a contiguous copy."""
    if x.is_contiguous() or is_channels_last(x):
        return x
    return x.contiguous()


def is_channels_last(x: Tensor) -> bool:
    """Whether a 4-D tensor lies in memory as [N, H, W, C]."""
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)


def in_layout_of(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor` in the layout of the dense tensor `like` (contiguous or channels_last)."""
    if like.is_contiguous():
        return tensor.contiguous()
    return tensor.contiguous(memory_format=torch.channels_last)


def check_dtype(op: str, name: str, x: Tensor) -> None:
    """Raises InvalidArgumentError unless `x` has a floating dtype the operators know."""
    if x.dtype not in DTYPES:
        raise InvalidArgumentError(
            f"{op}: expected {name} of dtype float32, float16, bfloat16 or float64, got {x.dtype};"
            f" convert it with {name}.to(torch.float32)"
        )
