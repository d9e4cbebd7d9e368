"""bn_discrepancy: reads the activation once going forward; once more, and writes, going back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fiqa_fast.ops import bn_discrepancy
from fiqa_fast.ops.bn_discrepancy import bn_discrepancy_reference


def _running_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    channels = x.shape[1]
    return torch.zeros(channels, device=x.device), torch.ones(channels, device=x.device)


def test_bn_discrepancy_forward(x: Tensor, compare: Callable[..., None]) -> None:
    running = _running_statistics(x)
    compare(
        x,
        lambda: bn_discrepancy(x, *running),
        lambda: bn_discrepancy_reference(x, *running, use_std=False),
        moved=1,
        allocates=False,
    )


def test_bn_discrepancy_forward_and_backward(x: Tensor, compare: Callable[..., None]) -> None:
    running = _running_statistics(x)
    x.requires_grad_()

    def gradient(squared_error: Tensor) -> Tensor:
        return torch.autograd.grad(squared_error.sum(), x)[0]

    compare(
        x.detach(),
        lambda: gradient(bn_discrepancy(x, *running).squared_error),
        lambda: gradient(bn_discrepancy_reference(x, *running, use_std=False).squared_error),
        moved=3,
        allocates=True,
    )
