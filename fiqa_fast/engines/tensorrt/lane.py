"""What one call needs for itself: an execution context, two streams, and buffers.

A batch larger than the profile's is cut into passes. While one is computed, the next one's inputs
are copied into pinned memory and to the GPU: the two slots of buffers take turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.engines.runner import Array
from fiqa_fast.engines.tensorrt.batch_profile import BatchProfile
from fiqa_fast.engines.tensorrt.messages import Messages
from fiqa_fast.engines.tensorrt.tensors import TensorSpec
from fiqa_fast.errors import UnavailableError

_SLOTS = 2
_ALIGNMENT_BYTES = 256
"""That TensorRT demands of every address."""


class Lane:
    """Runs passes, for one thread at a time.

    Args:
        context: of the library, `IExecutionContext`, for this lane alone.
        inputs: of the plan.
        outputs: of the plan.
        profile: its batch sizes.
        device: where it was loaded; the current device of the thread that calls.
        messages: for the reason of a failure.
    """

    def __init__(
        self,
        context: Any,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        profile: BatchProfile,
        device: torch.device,
        messages: Messages,
    ) -> None:
        self._context = context
        self._inputs, self._outputs = inputs, outputs
        self._profile, self._device, self._messages = profile, device, messages
        self._compute = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._upload = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._slots: list[_Slot] = []

    def run(self, arrays: Mapping[str, Array], batch: int) -> dict[str, Array]:
        """Numpy in, numpy out; returns when the results are there.

        Args:
            arrays: as `batch_of_arrays` has checked them; any strides.
            batch: at least 1.

        Raises:
            UnavailableError: the library refused a call.
        """
        results = {s.name: np.empty((batch, *s.row), dtype=s.numpy_dtype) for s in self._outputs}
        running: deque[tuple[_Slot, slice]] = deque()
        try:
            for number, rows in enumerate(self._passes(batch)):
                if len(running) == _SLOTS:
                    _collect(*running.popleft(), results)
                slot = self._slot(number % _SLOTS)
                self._start(slot, {name: array[rows] for name, array in arrays.items()})
                running.append((slot, rows))
            while running:
                _collect(*running.popleft(), results)
        except BaseException:
            self.wait()  # nothing may still use the buffers when the next call comes
            raise
        return results

    def run_tensors(self, tensors: Mapping[str, Tensor], batch: int) -> dict[str, Tensor]:
        """CUDA tensors in, CUDA tensors out; does not wait for the GPU.

        The work comes behind what the current stream was given before, and what the current stream
        is given afterwards comes behind the work.

        Args:
            tensors: as `batch_of_tensors` has checked them. They are read where they lie, if they
                are contiguous and aligned.
            batch: at least 1.

        Raises:
            UnavailableError: the library refused a call.
        """
        caller = torch.cuda.current_stream(self._device)
        passes = []
        for rows in self._passes(batch):
            size = max(rows.stop - rows.start, self._profile.min)
            given = {s.name: _readable(tensors[s.name][rows], size) for s in self._inputs}
            made = {
                s.name: torch.empty((size, *s.row), dtype=s.dtype, device=self._device)
                for s in self._outputs
            }
            self._compute.wait_stream(caller)
            for tensor in (*given.values(), *made.values()):
                # The caller's stream may free it while this one still uses it.
                tensor.record_stream(self._compute)
            self._enqueue(given, made)
            passes.append({n: t[: rows.stop - rows.start] for n, t in made.items()})
        caller.wait_stream(self._compute)
        if len(passes) == 1:
            return passes[0]
        return {s.name: torch.cat([p[s.name] for p in passes]) for s in self._outputs}

    def wait(self) -> None:
        """Until the GPU has done all that was begun here."""
        self._upload.synchronize()
        self._compute.synchronize()

    def release(self) -> None:
        """Gives context and buffers up. Nothing may run."""
        self._context = None
        self._slots.clear()

    def _passes(self, batch: int) -> list[slice]:
        step = self._profile.max
        return [slice(i, min(i + step, batch)) for i in range(0, batch, step)]

    def _slot(self, number: int) -> _Slot:
        if number == len(self._slots):
            with torch.cuda.stream(self._compute):
                self._slots.append(
                    _Slot(self._inputs, self._outputs, self._profile.max, self._device)
                )
            # Their memory may have been in use on that stream; the other one is not behind it.
            self._compute.synchronize()
        return self._slots[number]

    def _start(self, slot: _Slot, arrays: Mapping[str, Array]) -> None:
        """Begins a pass; `_collect` waits for it."""
        rows = len(next(iter(arrays.values())))
        size = max(rows, self._profile.min)
        for name, array in arrays.items():
            pinned = slot.host[name].numpy()
            pinned[:rows] = array
            pinned[rows:size] = array[-1]
        given = {s.name: slot.device[s.name][:size] for s in self._inputs}
        made = {s.name: slot.device[s.name][:size] for s in self._outputs}
        with torch.cuda.stream(self._upload):
            for name, tensor in given.items():
                tensor.copy_(slot.host[name][:size], non_blocking=True)
            slot.uploaded.record(self._upload)
        self._compute.wait_event(slot.uploaded)
        self._enqueue(given, made)
        with torch.cuda.stream(self._compute):
            for name, tensor in made.items():
                slot.host[name][:size].copy_(tensor, non_blocking=True)
            slot.done.record(self._compute)

    def _enqueue(self, given: Mapping[str, Tensor], made: Mapping[str, Tensor]) -> None:
        context = self._context
        self._messages.clear()
        for name, tensor in given.items():
            self._demand(context.set_input_shape(name, tuple(tensor.shape)), name, tensor)
        unknown = context.infer_shapes()
        if unknown:
            raise UnavailableError(
                f"tensorrt: expected a plan whose shapes follow from its inputs', got"
                f" {', '.join(unknown)} without one; build the plan again"
            )
        for name, tensor in (*given.items(), *made.items()):
            fits = tuple(context.get_tensor_shape(name)) == tuple(tensor.shape)
            self._demand(fits, name, tensor)
            self._demand(context.set_tensor_address(name, tensor.data_ptr()), name, tensor)
        if not context.execute_async_v3(self._compute.cuda_stream):
            raise UnavailableError(
                f"tensorrt: expected the plan to run on {self._device}, got:"
                f" {self._messages.reason()}"
            )

    def _demand(self, done: bool, name: str, tensor: Tensor) -> None:
        if not done:
            raise UnavailableError(
                f"tensorrt: expected {name} to take {list(tensor.shape)}, got:"
                f" {self._messages.reason()}; build the plan again"
            )


class _Slot:
    """Buffers for the largest pass: pinned memory on the host and memory on the GPU."""

    def __init__(
        self,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        batch: int,
        device: torch.device,
    ) -> None:
        self.host: dict[str, Tensor] = {}
        self.device: dict[str, Tensor] = {}
        for spec in (*inputs, *outputs):
            shape = (batch, *spec.row)
            self.host[spec.name] = torch.empty(shape, dtype=spec.dtype, pin_memory=True)
            self.device[spec.name] = torch.empty(shape, dtype=spec.dtype, device=device)
        self.uploaded = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self.done = torch.cuda.Event()  # type: ignore[no-untyped-call]


def _collect(slot: _Slot, rows: slice, results: Mapping[str, Array]) -> None:
    """Waits for a pass and takes its results."""
    slot.done.synchronize()
    for name, array in results.items():
        array[rows] = slot.host[name].numpy()[: rows.stop - rows.start]


def _readable(tensor: Tensor, size: int) -> Tensor:
    """The tensor as TensorRT wants it: `size` rows, contiguous, aligned; itself where it is so."""
    missing = size - len(tensor)
    if missing:
        return torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])])
    tensor = tensor.contiguous()
    return tensor if tensor.data_ptr() % _ALIGNMENT_BYTES == 0 else tensor.clone()
