"""sign_step: reads the image and its gradient, writes the moved image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fiqa_fast.ops import sign_step


def test_sign_step(x: Tensor, compare: Callable[..., None]) -> None:
    grad = torch.randn_like(x)

    def twin() -> Tensor:
        return (x + 0.1 * grad.sign()).clamp(-1.0, 1.0)

    compare(x, lambda: sign_step(x, grad, step=0.1), twin, moved=3, allocates=True)
