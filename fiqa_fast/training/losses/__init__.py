"""Losses of training: margins for recognition, one paper per file, and CR-FIQA's regression."""

from collections.abc import Mapping

from fiqa_fast.training.losses.arcface import ArcFace
from fiqa_fast.training.losses.classifiability import quality_loss, quality_target
from fiqa_fast.training.losses.cosface import CosFace
from fiqa_fast.training.losses.curricularface import CurricularFace
from fiqa_fast.training.losses.elasticface import ElasticArcFace, ElasticCosFace
from fiqa_fast.training.losses.magface import MagFace
from fiqa_fast.training.losses.margin import Margin, SampleFacts

MARGINS: Mapping[str, type[Margin]] = {
    margin.name: margin
    for margin in (ArcFace, CosFace, ElasticArcFace, ElasticCosFace, CurricularFace, MagFace)
}

__all__ = [
    "MARGINS",
    "ArcFace",
    "CosFace",
    "CurricularFace",
    "ElasticArcFace",
    "ElasticCosFace",
    "MagFace",
    "Margin",
    "SampleFacts",
    "quality_loss",
    "quality_target",
]
