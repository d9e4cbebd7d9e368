"""ONNX Runtime on the CPU, in float32: exported files on any machine that has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from fiqa_fast.engines.onnx_file import read_provenance
from fiqa_fast.engines.optional import require
from fiqa_fast.engines.runner import Array
from fiqa_fast.errors import UnavailableError, WeightsError
from fiqa_fast.provenance import Provenance

PRECISIONS = ("float32",)


class OnnxRuntimeRunner:
    """A graph run by ONNX Runtime on the CPU. See `Runner`.

    Args:
        model: the graph; its precision is what runs.
        threads: None: one for each core.

    Raises:
        UnavailableError: ONNX Runtime is missing, or has no kernels for the graph's precision.
    """

    engine, device = "onnxruntime", "cpu"

    def __init__(self, model: onnx.ModelProto, *, threads: int | None = None) -> None:
        ort = require("onnxruntime", "engines")
        self.precision = read_provenance(model).precision
        if self.precision not in PRECISIONS:
            raise UnavailableError(
                f"onnxruntime: expected a graph in {', '.join(PRECISIONS)}, got {self.precision},"
                " which its CPU kernels lack; export in float32, or use OpenVINO"
            )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        self._session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `Runner.run`."""
        found = self._session.run(self._names, dict(inputs))
        return dict(zip(self._names, found, strict=True))


def read(path: Path) -> tuple[onnx.ModelProto, Provenance]:
    """Reads an exported ONNX file.

    Raises:
        WeightsError: the file is missing, damaged, or another one.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and the operating system raise what they like
        raise WeightsError(
            f"onnxruntime: expected an ONNX model in {path}, got {type(error).__name__}: {error};"
            " export the scorer again"
        ) from error
    return model, read_provenance(model)
