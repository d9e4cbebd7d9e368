"""fiqa_fast: face image quality assessment, fast and exact.

import fiqa_fast

rows = fiqa_fast.score_images(["portrait.jpg"], ["grafiqs", "ser-fiq"])
scorer = fiqa_fast.create_scorer("faceqan", k=10, l=5)
raw_scores = scorer.score(crops)  # uint8 RGB [B, 3, 112, 112] -> float32 [B]
"""

from fiqa_fast.backbones.checkpoints import load_checkpoint
from fiqa_fast.backbones.registry import list_backbones, load_backbone
from fiqa_fast.errors import FiqaError
from fiqa_fast.pipeline import score_images
from fiqa_fast.scorers.registry import create_scorer, list_scorers
from fiqa_fast.version import __version__

__all__ = [
    "FiqaError",
    "__version__",
    "create_scorer",
    "list_backbones",
    "list_scorers",
    "load_backbone",
    "load_checkpoint",
    "score_images",
]
