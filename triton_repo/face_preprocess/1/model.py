"""The model, as Triton looks for it: see fiqa_fast/serving/models/preprocess_model.py."""

from fiqa_fast.serving.models.preprocess_model import PreprocessModel as TritonPythonModel

__all__ = ["TritonPythonModel"]
