"""A plan that is loaded on a GPU: numpy arrays or CUDA tensors in, the same out."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.engines.runner import Array
from fiqa_fast.engines.tensorrt import refit, targets
from fiqa_fast.engines.tensorrt.lane import Lane
from fiqa_fast.engines.tensorrt.libraries import load_library
from fiqa_fast.engines.tensorrt.messages import Messages
from fiqa_fast.engines.tensorrt.plan_file import PlanRecord, read_plan
from fiqa_fast.engines.tensorrt.runtime_cache import RuntimeCache
from fiqa_fast.engines.tensorrt.tensors import (
    TensorSpec,
    batch_of_arrays,
    batch_of_tensors,
    specs_of,
)
from fiqa_fast.errors import InvalidArgumentError, UnavailableError


class TensorRTEngine:
    """Runs a plan; any number of threads may call it at once.

    Each call takes a lane (a context with streams and buffers of its own) and gives it back; where
    all are taken it waits. To be closed, or used with `with`.

    Args:
        plan: the plan file; its record lies beside it.
        device: a CUDA device.
        lanes: how many calls can run at once. Each has its own memory on the GPU.
        runtime_cache: for TensorRT-RTX: the file in which compiled kernels are kept; None: they are
            compiled again in every process. Written by `close`.
        onnx: an ONNX file that the plan must have been built from; None: not checked.

    Attributes:
        record: of the plan; after `refit` with the new weights' digests and provenance.
        inputs: of the plan, in its order.
        outputs: of the plan, in its order.

    Raises:
        InvalidArgumentError: plan and record do not belong together, or an argument is wrong.
        UnavailableError: the library or a GPU is missing, or is not what the plan was built for.
    """

    record: PlanRecord
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __init__(
        self,
        plan: Path,
        *,
        device: str = "cuda:0",
        lanes: int = 1,
        runtime_cache: Path | None = None,
        onnx: Path | None = None,
    ) -> None:
        content, self.record = read_plan(plan, onnx)
        self._library = load_library(self.record.flavour)
        self._check(lanes, runtime_cache)
        self._device = targets.usable_gpu(device, self.record.flavour)
        self.record.require_gpu(targets.of_gpu(self._device))
        self._free: queue.LifoQueue[Lane] = queue.LifoQueue()
        self._number_of_lanes = lanes
        self._taking_all = threading.Lock()
        self._is_open = True
        self._messages = Messages(self._library)
        with torch.cuda.device(self._device):
            self._runtime = self._library.module.Runtime(self._messages.logger)
            self._engine = self._runtime.deserialize_cuda_engine(content)
            if self._engine is None:
                raise UnavailableError(
                    f"{self.record.flavour}: expected {plan} to load on {self._device}, got:"
                    f" {self._why_not_loaded(content)}; build the plan again"
                )
            self.inputs, self.outputs = specs_of(self._engine, self._library)
            self._cache = (
                RuntimeCache(self._library, self._engine, runtime_cache)
                if self.record.flavour == "tensorrt-rtx"
                else None
            )
            for _ in range(lanes):
                self._free.put(self._new_lane())

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Computes a batch.

        Args:
            inputs: an array for each of `inputs`, of its dtype, [B, ...]; any strides. B may be 0
                or larger than the profile.

        Returns:
            An array for each of `outputs`, [B, ...], the caller's own.

        Raises:
            InvalidArgumentError: an array is missing, or has the wrong dtype or shape.
            UnavailableError: the engine is closed, or the library refused the call.
        """
        batch = batch_of_arrays(self.inputs, inputs)
        if batch == 0:
            return {s.name: np.empty((0, *s.row), s.numpy_dtype) for s in self.outputs}
        with self._lane() as lane:
            return lane.run(inputs, batch)

    def run_tensors(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Computes a batch that is on the GPU already, without waiting for it.

        The work is ordered behind the current stream's, and the current stream's behind it: use the
        results as those of any torch operator.

        Args:
            inputs: a tensor for each of `inputs`, on the engine's device, [B, ...]; read in place
                where contiguous.

        Returns:
            A tensor for each of `outputs`, [B, ...], on the same device.

        Raises:
            InvalidArgumentError: a tensor is missing, elsewhere, or has the wrong dtype or shape.
            UnavailableError: the engine is closed, or the library refused the call.
        """
        batch = batch_of_tensors(self.inputs, inputs, self._device)
        with self._lane() as lane:
            if batch == 0:
                return {
                    s.name: torch.empty((0, *s.row), dtype=s.dtype, device=self._device)
                    for s in self.outputs
                }
            return lane.run_tensors(inputs, batch)

    def refit(self, onnx: Path) -> None:
        """Takes the weights of another graph of the same architecture; waits for running calls.

        Raises:
            InvalidArgumentError: the plan is not refittable, or the graph differs in more than
                weights.
            UnavailableError: the engine is closed, or the library refused: load the plan again.
        """
        model = refit.check_refit(self.record, onnx)
        with self._all_lanes():
            self._require_open()
            refit.refit(self._engine, self._library, self._messages, self.record, model)
            self.record = replace(
                self.record, provenance=model.provenance, onnx_sha256=model.sha256
            )

    def close(self) -> None:
        """Waits for running calls and frees the GPU's memory. A second call does nothing."""
        with self._all_lanes() as lanes:
            if not self._is_open:
                return
            self._is_open = False
            try:
                if self._cache is not None:
                    self._cache.save()
            finally:
                # In this order: a context must not outlive its engine, nor that the runtime.
                for lane in lanes:
                    lane.release()
                self._cache = self._engine = self._runtime = None

    def __enter__(self) -> TensorRTEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check(self, lanes: int, runtime_cache: Path | None) -> None:
        flavour = self.record.flavour
        if lanes < 1:
            raise InvalidArgumentError(f"{flavour}: expected lanes >= 1, got {lanes}")
        if runtime_cache is not None and flavour != "tensorrt-rtx":
            raise InvalidArgumentError(
                f"{flavour}: expected runtime_cache=None, got {runtime_cache}; its plans hold their"
                " kernels"
            )
        self.record.require_library(self._library)

    def _new_lane(self) -> Lane:
        make = self._engine.create_execution_context
        context = make() if self._cache is None else make(self._cache.config)
        if context is None:
            raise UnavailableError(
                f"{self.record.flavour}: expected memory on {self._device} for"
                f" {self._number_of_lanes} contexts, got: {self._messages.reason()}; take fewer"
                " lanes or a smaller profile"
            )
        return Lane(
            context, self.inputs, self.outputs, self.record.profile, self._device, self._messages
        )

    def _why_not_loaded(self, content: bytes) -> str:
        reason = self._messages.reason()
        if self.record.flavour == "tensorrt-rtx":
            _, diagnostics = self._runtime.get_engine_validity(content)
            names = self._library.module.EngineInvalidityDiagnostics.__members__
            found = [n for n, member in names.items() if diagnostics & int(member)]
            reason += "".join(f" ({n.lower().replace('_', ' ')})" for n in found)
        return reason

    @contextmanager
    def _lane(self) -> Iterator[Lane]:
        lane = self._free.get()
        try:
            self._require_open()
            with torch.cuda.device(self._device):
                yield lane
        except torch.OutOfMemoryError as error:
            raise UnavailableError(
                f"{self.record.flavour}: expected memory for a pass of"
                f" {self.record.profile.max} on {self._device}, got: {error}; take fewer lanes or"
                " a smaller profile"
            ) from error
        finally:
            self._free.put(lane)

    @contextmanager
    def _all_lanes(self) -> Iterator[list[Lane]]:
        """Holds every lane while nothing runs on the GPU."""
        with self._taking_all:  # two that held some of them would wait for each other
            lanes = [self._free.get() for _ in range(self._number_of_lanes)]
        try:
            with torch.cuda.device(self._device):
                for lane in lanes:
                    lane.wait()
                yield lanes
        finally:
            for lane in lanes:
                self._free.put(lane)

    def _require_open(self) -> None:
        if not self._is_open:
            raise UnavailableError(
                f"{self.record.flavour}: expected an open engine, got a closed one; load the plan"
                " again"
            )
