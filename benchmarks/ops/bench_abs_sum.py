"""abs_sum: reads the gradient once, returns one number for each sample."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fiqa_fast.ops import abs_sum


def test_abs_sum(x: Tensor, compare: Callable[..., None]) -> None:
    def twin() -> Tensor:
        return x.float().abs().sum((1, 2, 3))

    compare(x, lambda: abs_sum(x), twin, moved=1, allocates=False)
