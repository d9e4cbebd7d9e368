"""An exported file, run again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.engines import onnxruntime, openvino
from fiqa_fast.engines.plan import PlanRunner
from fiqa_fast.engines.runner import Array, Runner
from fiqa_fast.engines.tensorrt import TensorRTEngine
from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.provenance import Provenance
from fiqa_fast.scorers.crops import Crops, as_crop_tensor
from fiqa_fast.types import CROP_SIZE_PX

SUFFIXES = (".onnx", ".xml", ".plan")


class ExportedScorer:
    """A file of `fiqa-fast export` on the engine that it is for.

    Args:
        runner: the compiled graph.
        provenance: what made it, and what runs it.
    """

    def __init__(self, runner: Runner, provenance: Provenance) -> None:
        self.runner, self.provenance = runner, provenance

    def run(self, crops: Array, noise: Array | None = None) -> dict[str, Array]:
        """Runs the graph.

        Args:
            crops: uint8 RGB [B, 112, 112, 3], B >= 1.
            noise: of a random method, the draws for each crop: what `Scorer.draw_noise` gives for
                the same scorer (bool as uint8).

        Returns:
            raw_score, float32 [B, O], in the order of `provenance.outputs`; embedding, float32
            [B, D], where it was exported.

        Raises:
            InvalidArgumentError: noise is missing, or given to a method that takes none.
        """
        is_random = self.provenance.seed is not None
        if is_random != (noise is not None):
            wanted = "noise for each crop" if is_random else "no noise"
            raise InvalidArgumentError(
                f"{self.provenance.scorer}: expected {wanted}, got"
                f" {'none' if noise is None else 'some'}; draw it with Scorer.draw_noise, or run"
                " create_scorer(engine=...), which draws it"
            )
        inputs = {"crops": np.ascontiguousarray(crops)}
        if noise is not None:
            inputs["noise"] = np.ascontiguousarray(noise)
        return self.runner.run(inputs)

    def score_all(self, crops: Crops, noise: Array | None = None) -> dict[str, Tensor]:
        """Scores aligned crops with every output.

        Args:
            crops: as `Scorer.score` takes them, one or more.
            noise: as `run` takes it.

        Returns:
            For each output float32 [B], on the CPU.

        Raises:
            InvalidArgumentError: a wrong shape, dtype or noise.
        """
        pixels = as_crop_tensor(crops, CROP_SIZE_PX).permute(0, 2, 3, 1).cpu().numpy()
        columns = torch.from_numpy(self.run(pixels, noise)["raw_score"])
        return {output: columns[:, i] for i, output in enumerate(self.provenance.outputs)}


def load_exported(
    path: Path, *, device: str = "auto", threads: int | None = None
) -> ExportedScorer:
    """Loads a file of `fiqa-fast export`: .onnx (ONNX Runtime), .xml (OpenVINO), .plan (TensorRT).

    Args:
        path: the file.
        device: of a plan: "auto" or "cuda:N"; the others run on the CPU.
        threads: of the CPU; None: one for each core.

    Raises:
        InvalidArgumentError: the name ends otherwise.
        WeightsError: the file is missing, damaged, or not one of ours.
        UnavailableError: the engine, the device or the precision is not to be had here.
    """
    if path.suffix not in SUFFIXES:
        raise InvalidArgumentError(
            f"engine: expected a file that ends in {', '.join(SUFFIXES)}, got {path.name};"
            " export the scorer with `fiqa-fast export`"
        )
    if not path.is_file():
        raise WeightsError(f"engine: expected an exported model in {path}, found no file there")
    if path.suffix == ".xml":
        model, provenance = openvino.read(path)
        runner: Runner = openvino.OpenVINORunner(
            model, precision=provenance.precision, threads=threads
        )
    elif path.suffix == ".onnx":
        graph, provenance = onnxruntime.read(path)
        runner = onnxruntime.OnnxRuntimeRunner(graph, threads=threads)
    else:
        runner, provenance = _load_plan(path, device)
    return ExportedScorer(runner, provenance.on(runner.engine, runner.device))


def _load_plan(path: Path, device: str) -> tuple[Runner, Provenance]:
    device = "cuda:0" if device in ("auto", "cuda") else device
    engine = TensorRTEngine(path, device=device)
    provenance = engine.record.provenance
    if provenance is None:
        raise WeightsError(
            f"engine: expected a plan that `fiqa-fast export` wrote, got {path} without its"
            " provenance; export the scorer again"
        )
    return PlanRunner(engine, provenance.precision, device), provenance
