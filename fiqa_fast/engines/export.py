"""From a scorer to a file that an engine runs without torch and without this package."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast, get_args

import onnx

from fiqa_fast.engines import openvino, tensorrt
from fiqa_fast.engines.inputs import inputs_of
from fiqa_fast.engines.onnx_file import read_provenance, to_onnx
from fiqa_fast.engines.plain_layers import check_precision, on_plain_layers
from fiqa_fast.engines.tensorrt.libraries import Flavour
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.types import UInt8Array

Target = Literal["onnx", "openvino", "tensorrt", "tensorrt-rtx"]
TARGETS: tuple[str, ...] = get_args(Target)
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "tensorrt": ".plan", "tensorrt-rtx": ".plan"}
PRECISIONS = ("float32", "fp16", "bf16", "int8")
_SHORT = {"fp32": "float32"}


def export_scorer(
    scorer: Scorer,
    to: str,
    out: Path,
    *,
    precision: str = "float32",
    name: str | None = None,
    outputs: Sequence[str] | None = None,
    with_embedding: bool = False,
    calibration: Iterable[UInt8Array] | None = None,
    profile: tensorrt.BatchProfile | None = None,
    compute_capabilities: list[str] | None = None,
) -> Path:
    """Writes a scorer for an engine.

    The file takes crops, uint8 RGB [B, 112, 112, 3], and for random methods their draws as noise
    [B, *scorer.noise_spec.shape]; it gives raw_score, float32 [B, O], and embedding, float32
    [B, D], where it is wanted. Gradient methods are written with their gradients as plain
    operators. The file holds what made it (`fiqa_fast.provenance`); a plan has it in a file beside
    it.

    Args:
        scorer: on a network in float32.
        to: "onnx", "openvino" (.xml and .bin), "tensorrt" (a plan for the GPU of this machine), or
            "tensorrt-rtx" (a plan for several GPUs, made without one).
        out: folder, made if it does not exist.
        precision: "float32" ("fp32"), "fp16", "bf16", or "int8" (for openvino, of methods of one
            forward pass).
        name: of the file; None: the method's.
        outputs: of the method, in the order of raw_score's columns; None: all of them.
        with_embedding: also give the network's raw embedding.
        calibration: for int8: crops to measure activation ranges over, uint8 RGB [112, 112, 3]
            each.
        profile: for plans: batch sizes; None: 1, 8 and 32.
        compute_capabilities: for tensorrt-rtx: GPUs, such as "8.9"; None: all that it knows.

    Returns:
        The path of the file.

    Raises:
        InvalidArgumentError: a wrong target or precision, a network in another precision than
            float32, or no crops for int8.
        UnavailableError: the method cannot be written as a graph, or a package is missing.
    """
    precision = _SHORT.get(precision, precision)
    _check(scorer, to, precision)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name or scorer.spec.name}{SUFFIXES[to]}"
    # OpenVINO rounds to bf16 and fp16 when it compiles; the others run a graph as it is typed.
    typed = "float32" if to == "openvino" else precision
    model = to_onnx(on_plain_layers(scorer, typed), outputs, with_embedding=with_embedding)
    if to == "onnx":
        onnx.save(model, path)
    elif to == "openvino":
        converted = openvino.convert(model)
        if precision == "int8":
            inputs = (inputs_of(scorer, crop[None]) for crop in calibration or ())
            converted = openvino.quantise(converted, inputs)
        openvino.write(converted, path, replace(read_provenance(model), precision=precision))
    else:
        with tempfile.TemporaryDirectory(prefix="fiqa-fast-export-") as folder:
            graph = Path(folder) / "graph.onnx"
            onnx.save(model, graph)
            tensorrt.build_engine(
                graph,
                path,
                flavour=cast("Flavour", to),
                profile=profile,
                compute_capabilities=compute_capabilities,
            )
    return path


def _check(scorer: Scorer, to: str, precision: str) -> None:
    if to not in TARGETS:
        raise InvalidArgumentError(
            f"export: expected the target to be one of {', '.join(TARGETS)}, got {to!r};"
            " choose the engine that will run it"
        )
    check_precision(scorer, precision, PRECISIONS)
    if precision == "int8" and to != "openvino":
        raise InvalidArgumentError(
            f"export: expected int8 with the target openvino, got {to}; NNCF quantises for that one"
        )
