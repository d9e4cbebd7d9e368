"""CR-FIQA: a learned estimate of how well a face can be told from the nearest other identity."""

from __future__ import annotations

from fiqa_fast.scorers.base import PRECISIONS_OF_FORWARD_PASSES, ScorerSpec
from fiqa_fast.scorers.learned import LearnedScorer


class CrFiqa(LearnedScorer):
    """Learned certainty ratio. Higher is better; unbounded.

    Boutros, Fang, Klemt, Fu, Damer, "CR-FIQA: Face Image Quality Assessment by Learning Sample
    Relative Classifiability" (CVPR 2023). A linear layer on the embedding was trained to predict
    CR = CCS / (NNCCS + 1 + eps), the similarity to the own class centre over that to the
    nearest other one. CR-FIQA(S) is iresnet50 trained on CASIA-WebFace, CR-FIQA(L) iresnet100
    trained on MS1MV2; which one runs depends on the weights.

    The authors' script stores its crops as JPEG files before it scores them: to compare with its
    numbers to the last digit, score such files.
    """

    spec = ScorerSpec(
        name="cr-fiqa",
        title="CR-FIQA",
        paper='Boutros et al., "CR-FIQA: Face Image Quality Assessment by Learning Sample Relative'
        ' Classifiability", CVPR 2023',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("head of CR-FIQA",),
        variants=(),
        precisions=PRECISIONS_OF_FORWARD_PASSES,
        networks=("iresnet50", "iresnet100"),
        weights="32572backbone.pth (S), 181952backbone.pth (L)",
        licence="CC BY-NC 4.0",
        proof="official",
    )
    head_kind = "cr-fiqa"
