"""Stands in for TensorRT's backend on machines without a GPU: OpenVINO runs the same graph.

So a repository with `platform: "tensorrt_plan"` loads there as it is.
"""

from fiqa_fast.serving.models.engine_model import EngineModel as TritonPythonModel

__all__ = ["TritonPythonModel"]
