"""Functions of tensors as CUDA graphs: captured once, then started with a single call."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_WARM_UP_CALLS = 2  # libraries set themselves up in their first calls, which cannot be captured


class CapturedFunction:
    """Runs a function on a GPU as a CUDA graph; elsewhere it is simply called.

    A graph is captured for each combination of input shapes, and keeps its memory.

    Args:
        function: takes and returns tensors on one device; must not wait for the device, and must do
            the same for all inputs of a shape.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, ...]]) -> None:
        self._function = function
        self._graphs: dict[tuple[object, ...], _Graph] = {}

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Calls the function; the results are the caller's own."""
        if inputs[0].device.type != "cuda":
            return self._function(*inputs)
        key = tuple((tuple(x.shape), x.dtype, x.device) for x in inputs)
        if key not in self._graphs:
            self._graphs[key] = _Graph(self._function, inputs)
        return self._graphs[key].run(inputs)


class _Graph:
    """One captured call."""

    def __init__(
        self, function: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...]
    ) -> None:
        self._inputs = tuple(x.clone() for x in inputs)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP_CALLS):
                function(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = function(*self._inputs)

    def run(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for static, given in zip(self._inputs, inputs, strict=True):
            static.copy_(given)
        self._graph.replay()
        return tuple(output.clone() for output in self._outputs)
