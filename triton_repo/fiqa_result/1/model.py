"""The model, as Triton looks for it: see fiqa_fast/serving/models/result_model.py."""

from fiqa_fast.serving.models.result_model import ResultModel as TritonPythonModel

__all__ = ["TritonPythonModel"]
