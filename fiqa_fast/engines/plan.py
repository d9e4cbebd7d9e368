"""A graph as a TensorRT plan, for a scorer on this machine's GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import onnx
import torch

from fiqa_fast.engines.graph_cache import cache_folder
from fiqa_fast.engines.onnx_file import read_provenance
from fiqa_fast.engines.runner import Array
from fiqa_fast.engines.tensorrt import TensorRTEngine, build_engine
from fiqa_fast.engines.tensorrt.libraries import Flavour, load_library


class PlanRunner:
    """A plan on a GPU. See `Runner`."""

    def __init__(self, engine: TensorRTEngine, precision: str, device: str) -> None:
        self._engine = engine
        self.engine: str = engine.record.flavour
        self.precision, self.device = precision, device

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `Runner.run`."""
        return self._engine.run(inputs)


def plan_runner(model: onnx.ModelProto, flavour: Flavour, device: str) -> PlanRunner:
    """Builds a plan for a GPU, or takes it from the user's cache, and loads it.

    Args:
        model: the graph, with its provenance.
        flavour: "tensorrt" or "tensorrt-rtx".
        device: "auto", "cuda" or "cuda:N".

    Raises:
        UnavailableError: the library or the GPU is missing, or the graph cannot be built for it.
    """
    device = "cuda:0" if device in ("auto", "cuda") else device
    major, minor = torch.cuda.get_device_capability(device)
    content = model.SerializeToString()
    version = load_library(flavour).version
    key = f"{hashlib.sha256(content).hexdigest()[:24]}-{flavour}-{version}-sm{major}{minor}"
    folder = cache_folder() / "plans"
    plan = folder / f"{key}.plan"
    if not plan.exists():
        folder.mkdir(parents=True, exist_ok=True)
        graph = folder / f"{key}.onnx"
        graph.write_bytes(content)
        targets = [f"SM{major}{minor}"] if flavour == "tensorrt-rtx" else None
        build_engine(
            graph,
            plan,
            flavour=flavour,
            compute_capabilities=targets,
            timing_cache=folder / "timing.cache" if flavour == "tensorrt" else None,
        )
        graph.unlink()
    return PlanRunner(TensorRTEngine(plan, device=device), read_provenance(model).precision, device)
