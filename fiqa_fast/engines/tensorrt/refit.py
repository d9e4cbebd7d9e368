"""Other weights of the same architecture into a loaded engine: seconds instead of a build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiqa_fast.engines.tensorrt.graph_for_parser import graph_for_parser
from fiqa_fast.engines.tensorrt.libraries import Library
from fiqa_fast.engines.tensorrt.messages import Messages
from fiqa_fast.engines.tensorrt.onnx_model import OnnxModel, read_onnx
from fiqa_fast.engines.tensorrt.plan_file import PlanRecord
from fiqa_fast.errors import InvalidArgumentError, UnavailableError


def check_refit(record: PlanRecord, onnx: Path) -> OnnxModel:
    """Reads the graph with the new weights.

    Raises:
        InvalidArgumentError: the plan takes no other weights, or the graph is of another
            architecture.
    """
    if not record.refittable:
        raise InvalidArgumentError(
            f"{record.flavour}: expected a refittable plan, got one that is not; build it with"
            " refittable=True"
        )
    model = read_onnx(onnx)
    if model.structure_sha256 != record.structure_sha256:
        raise InvalidArgumentError(
            f"{record.flavour}: expected a graph that differs from the plan's in its weights alone,"
            f" got {onnx}, of another architecture; build a plan for it"
        )
    return model


def refit(
    engine: Any, library: Library, messages: Messages, record: PlanRecord, model: OnnxModel
) -> None:
    """Puts the weights in. Nothing may run on the engine meanwhile.

    The library's own reader of ONNX does it: it knows how it combined BatchNorm layers.

    Raises:
        UnavailableError: the library refused. The engine's weights are then undefined.
    """
    messages.clear()
    refitter = library.module.Refitter(engine, messages.logger)
    reader = library.module.OnnxParserRefitter(refitter, messages.logger)
    graph = graph_for_parser(model.proto, record.flavour, turing=record.turing)
    if not reader.refit_from_bytes(graph.SerializeToString()) or not refitter.refit_cuda_engine():
        missing = ", ".join(refitter.get_missing_weights()[:3])
        raise UnavailableError(
            f"{library.flavour}: expected to refit the engine with {model.path}, got:"
            f" {messages.reason()}{missing and f' (missing: {missing})'}; load the plan again"
        )
