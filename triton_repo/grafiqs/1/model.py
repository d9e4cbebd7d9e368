"""The model, as Triton looks for it: see fiqa_fast/serving/models/scorer_model.py."""

from fiqa_fast.serving.models.scorer_model import ScorerModel as TritonPythonModel

__all__ = ["TritonPythonModel"]
