"""OpenVINO: graphs on Intel's and AMD's CPUs, in float32, bf16, fp16 and int8."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx

from fiqa_fast.engines.onnx_file import METADATA_KEY
from fiqa_fast.engines.optional import require
from fiqa_fast.engines.runner import Array
from fiqa_fast.errors import InvalidArgumentError, UnavailableError, WeightsError
from fiqa_fast.provenance import Provenance

_HINTS = {"float32": "f32", "bf16": "bf16", "fp16": "f16"}
"""INFERENCE_PRECISION_HINT. OpenVINO's own choice would be bf16 wherever a CPU has it."""
PRECISIONS = (*_HINTS, "int8")


class OpenVINORunner:
    """A graph compiled by OpenVINO for the CPU. See `Runner`.

    Args:
        model: an OpenVINO model, as `convert` and `read` give it.
        precision: of PRECISIONS; "int8" needs a model that `quantise` made.
        threads: None: one for each core.

    Raises:
        UnavailableError: OpenVINO is missing, or the CPU cannot compute in the precision.
    """

    engine, device = "openvino", "cpu"

    def __init__(self, model: Any, *, precision: str, threads: int | None = None) -> None:
        ov = require("openvino", "engines")
        core = ov.Core()
        hint = _HINTS.get(precision) or _beside_int8(core)
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": hint,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # Else two processes of one thread each would both sit on the first core.
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        self._compiled = core.compile_model(model, "CPU", settings)
        runs = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if runs != hint:
            raise UnavailableError(
                f"openvino: expected a CPU that computes in {precision} (hint {hint}), got one on"
                f" which OpenVINO would run {runs}; choose another precision"
            )
        self.precision = precision
        self._names = [output.any_name for output in self._compiled.outputs]
        self._local = threading.local()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `Runner.run`."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        found = self._local.request.infer(dict(inputs), share_inputs=True)
        return {name: found[name].copy() for name in self._names}


def convert(model: onnx.ModelProto) -> Any:
    """An OpenVINO model of an ONNX one."""
    ov = require("openvino", "engines")
    return ov.Core().read_model(model.SerializeToString())


def write(model: Any, path: Path, provenance: Provenance) -> None:
    """Writes PATH.xml and its .bin, with the provenance inside.

    fp16 halves the weights; in bf16 they stay float32 and are rounded when the model is compiled.
    """
    ov = require("openvino", "engines")
    model.set_rt_info(provenance.to_json(), [METADATA_KEY])
    ov.save_model(model, path, compress_to_fp16=provenance.precision == "fp16")


def read(path: Path) -> tuple[Any, Provenance]:
    """Reads what `write` wrote.

    Raises:
        WeightsError: the file is missing, damaged, or another one.
        UnavailableError: OpenVINO is missing.
    """
    ov = require("openvino", "engines")
    try:
        model = ov.Core().read_model(path)
    except RuntimeError as error:
        raise WeightsError(
            f"openvino: expected a model of OpenVINO in {path}, got {_first_line(error)};"
            " export the scorer again"
        ) from error
    if not model.has_rt_info([METADATA_KEY]):
        raise WeightsError(
            f"openvino: expected a model that `fiqa-fast export` wrote, got {path} without its"
            " metadata; export the scorer again"
        )
    return model, Provenance.from_json(str(model.get_rt_info([METADATA_KEY]).value))


def quantise(model: Any, inputs: Iterable[Mapping[str, Array]]) -> Any:
    """A copy of a model whose convolutions and matrix products run in int8 (NNCF).

    Args:
        model: of a method of one forward pass.
        inputs: what activation ranges are measured over, one crop each. A few hundred faces, in the
            quality that the model is used for.

    Raises:
        InvalidArgumentError: no inputs.
        UnavailableError: NNCF is missing.
    """
    nncf = require("nncf", "engines")
    batches = [dict(of_crop) for of_crop in inputs]
    if not batches:
        raise InvalidArgumentError(
            "export: expected crops to measure activation ranges over, got none; give a folder of"
            " faces with --calibration"
        )
    return nncf.quantize(
        model,
        nncf.Dataset(batches),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(batches),
    )


def _beside_int8(core: Any) -> str:
    """The hint for what is not quantised: bf16 where the CPU has it."""
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return _HINTS["bf16" if has_bf16 else "float32"]


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "an error")
