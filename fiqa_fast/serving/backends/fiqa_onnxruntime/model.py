"""A backend of Triton's for graphs exported with `--to onnx`."""

from fiqa_fast.serving.models.engine_model import EngineModel as TritonPythonModel

__all__ = ["TritonPythonModel"]
