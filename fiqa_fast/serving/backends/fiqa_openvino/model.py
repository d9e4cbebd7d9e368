"""A backend of Triton's for graphs exported with `--to openvino`."""

from fiqa_fast.serving.models.engine_model import EngineModel as TritonPythonModel

__all__ = ["TritonPythonModel"]
