"""A plan's inputs and outputs, and checks of what a caller gives for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.engines.runner import Array
from fiqa_fast.engines.tensorrt.libraries import Library
from fiqa_fast.errors import InvalidArgumentError, UnavailableError

# What numpy and torch both have, by TensorRT's names.
_DTYPES = {
    "FLOAT": torch.float32,
    "HALF": torch.float16,
    "INT8": torch.int8,
    "UINT8": torch.uint8,
    "INT32": torch.int32,
    "INT64": torch.int64,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a plan.

    Attributes:
        name: as in the graph.
        dtype: of its elements.
        row: its shape without the batch, which comes first.
    """

    name: str
    dtype: torch.dtype
    row: tuple[int, ...]

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """`dtype` for numpy."""
        return torch.empty(0, dtype=self.dtype).numpy().dtype

    def __str__(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        return f"{self.name} {kind} [{', '.join(['B', *map(str, self.row)])}]"


def specs_of(
    engine: Any, library: Library
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of a loaded plan, in its order.

    Raises:
        UnavailableError: one has a type that numpy lacks, must lie in host memory, or is dynamic
            behind its first dimension.
    """
    inputs: list[TensorSpec] = []
    outputs: list[TensorSpec] = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        dtype = _DTYPES.get(engine.get_tensor_dtype(name).name)
        _, *row = tuple(engine.get_tensor_shape(name)) or (0,)
        on_gpu = engine.get_tensor_location(name) == library.module.TensorLocation.DEVICE
        if dtype is None or not on_gpu or any(size < 0 for size in row):
            raise UnavailableError(
                f"{library.flavour}: expected a plan whose tensors lie on the GPU, are of one of"
                f" {', '.join(_DTYPES)} and dynamic in the batch alone, got {name},"
                f" {engine.get_tensor_dtype(name).name} [B, {', '.join(map(str, row))}]; export the"
                " scorer again"
            )
        is_input = engine.get_tensor_mode(name) == library.module.TensorIOMode.INPUT
        (inputs if is_input else outputs).append(TensorSpec(name, dtype, tuple(row)))
    return tuple(inputs), tuple(outputs)


def batch_of_arrays(specs: Sequence[TensorSpec], given: Mapping[str, Array]) -> int:
    """The batch of numpy inputs.

    Raises:
        InvalidArgumentError: names, dtypes or shapes are not those of the plan, or the batches
            differ.
    """
    kinds = {n: (a.dtype, a.shape) for n, a in given.items()}
    return _batch(specs, kinds, {s.name: s.numpy_dtype for s in specs})


def batch_of_tensors(
    specs: Sequence[TensorSpec], given: Mapping[str, Tensor], device: torch.device
) -> int:
    """The batch of tensors on a GPU.

    Raises:
        InvalidArgumentError: as `batch_of_arrays`; or one is on another device.
    """
    for name, tensor in given.items():
        if tensor.device != device:
            raise InvalidArgumentError(
                f"tensorrt: expected {name} on {device}, got it on {tensor.device}; use run() for"
                " numpy arrays"
            )
    kinds = {n: (t.dtype, tuple(t.shape)) for n, t in given.items()}
    return _batch(specs, kinds, {s.name: s.dtype for s in specs})


def _batch(
    specs: Sequence[TensorSpec],
    given: Mapping[str, tuple[Any, tuple[int, ...]]],
    dtypes: Mapping[str, Any],
) -> int:
    fits = given.keys() == dtypes.keys() and all(
        given[s.name][0] == dtypes[s.name]
        and len(given[s.name][1]) == 1 + len(s.row)
        and given[s.name][1][1:] == s.row
        for s in specs
    )
    batches = {shape[0] for _, shape in given.values() if shape}
    if not fits or len(batches) != 1:
        found = ", ".join(
            f"{n} {str(kind).removeprefix('torch.')} {list(shape)}"
            for n, (kind, shape) in given.items()
        )
        raise InvalidArgumentError(
            f"tensorrt: expected inputs {', '.join(map(str, specs))} with one batch B, got"
            f" {found or 'none'}"
        )
    return batches.pop()
