"""Lets a scorer of `create_scorer` run on an engine: its graph, in batches, with its own draws."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.engines import graph_cache, onnxruntime, openvino
from fiqa_fast.engines.inputs import inputs_of
from fiqa_fast.engines.optional import require
from fiqa_fast.engines.plain_layers import check_precision, on_plain_layers
from fiqa_fast.engines.plan import plan_runner
from fiqa_fast.engines.runner import Runner
from fiqa_fast.engines.tensorrt.libraries import Flavour, load_library, require_gpu
from fiqa_fast.errors import UnavailableError
from fiqa_fast.scorers.base import Scorer

GRAPH_ENGINES = ("openvino", "onnxruntime", "tensorrt", "tensorrt-rtx")
"""Those that run a scorer as a static graph."""

_IMAGES_PER_CALL = 32


class EngineGraph:
    """A scorer's graphs on an engine, one for each choice of outputs. See `CompiledGraph`.

    Engines choose other kernels for other batches, so that with several images in a call a score
    may depend on its batch in its last digits (2e-7 of it in float32 on OpenVINO).

    Args:
        scorer: whose graphs they are; it draws the noise.
        compile_outputs: makes the graph of some outputs.
        images_per_call: the most.
    """

    def __init__(
        self,
        scorer: Scorer,
        compile_outputs: Callable[[tuple[str, ...]], Runner],
        images_per_call: int,
    ) -> None:
        self._scorer, self._compile = scorer, compile_outputs
        self._images_per_call = images_per_call
        self._runners: dict[tuple[str, ...], Runner] = {}
        self._compiling = threading.Lock()
        runner = self._runner((scorer.output,))
        self.engine, self.precision, self.device = runner.engine, runner.precision, runner.device

    def evaluate(
        self, crops: Tensor, outputs: Sequence[str], noise: Tensor | None
    ) -> dict[str, Tensor]:
        """Scores crops.

        Args:
            crops: uint8 RGB [B, 3, 112, 112].
            outputs: those wanted.
            noise: explicit draws for a random method, [B, ...]; None: its own.

        Returns:
            For each output float32 [B], on the CPU.
        """
        runner = self._runner(tuple(outputs))
        parts = [np.empty((0, len(outputs)), np.float32)]
        for start in range(0, len(crops), self._images_per_call):
            chunk = slice(start, start + self._images_per_call)
            pixels = crops[chunk].permute(0, 2, 3, 1).cpu().numpy()
            inputs = inputs_of(self._scorer, pixels, None if noise is None else noise[chunk])
            parts.append(runner.run(inputs)["raw_score"])
        columns = torch.from_numpy(np.concatenate(parts))
        return {output: columns[:, i] for i, output in enumerate(outputs)}

    def _runner(self, outputs: tuple[str, ...]) -> Runner:
        with self._compiling:
            if outputs not in self._runners:
                self._runners[outputs] = self._compile(outputs)
            return self._runners[outputs]


def why_no_engine(engine: str) -> str:
    """Why an engine of GRAPH_ENGINES cannot run on this machine, in words; "" where it can."""
    try:
        if engine in ("tensorrt", "tensorrt-rtx"):
            load_library(cast("Flavour", engine))
            require_gpu(engine)
        else:
            require(engine, "engines")
    except UnavailableError as error:
        return str(error)
    return ""


def compile_scorer(
    scorer: Scorer,
    engine: str,
    precision: str,
    device: str = "auto",
    *,
    images_per_call: int = _IMAGES_PER_CALL,
) -> None:
    """Lets an engine compute the scores of a scorer from now on, in place.

    The graph of a network with a weights file is kept in the user's cache (`graph_cache`).

    Args:
        scorer: on a network in float32.
        engine: of GRAPH_ENGINES, one that runs here.
        precision: "auto" (float32), "float32", "bf16" or "fp16".
        device: "auto", "cpu" for OpenVINO and ONNX Runtime, "cuda" or "cuda:N" for TensorRT.
        images_per_call: the most that go through the graph together. Methods that draw noise bring
            k or T copies of each image, and go one by one.

    Raises:
        InvalidArgumentError: the method is not exact enough in the precision.
        UnavailableError: engine, method, precision and device do not go together here.
    """
    precision = "float32" if precision == "auto" else precision
    on_gpu = engine in ("tensorrt", "tensorrt-rtx")
    check_precision(scorer, precision, ("float32", "bf16", "fp16"))
    if device != "auto" and device.startswith("cuda") != on_gpu:
        raise UnavailableError(
            f"{engine}: expected device to be {'cuda' if on_gpu else 'cpu'}, got {device!r};"
            " choose another engine"
        )
    # OpenVINO rounds a graph in float32 when it compiles it; the others run it as it is typed.
    plain = on_plain_layers(scorer, "float32" if engine == "openvino" else precision)

    def compile_outputs(outputs: tuple[str, ...]) -> Runner:
        model = graph_cache.onnx_of(plain, outputs)
        if engine == "openvino":
            return openvino.OpenVINORunner(openvino.convert(model), precision=precision)
        if engine == "onnxruntime":
            return onnxruntime.OnnxRuntimeRunner(model)
        return plan_runner(model, cast("Flavour", engine), device)

    images = 1 if scorer.noise_spec else images_per_call
    scorer.graph = EngineGraph(scorer, compile_outputs, images)
