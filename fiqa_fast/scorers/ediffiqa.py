"""eDifFIQA: a small network's estimate of the quality that a diffusion model gives."""

from __future__ import annotations

from fiqa_fast.scorers.base import PRECISIONS_OF_FORWARD_PASSES, ScorerSpec
from fiqa_fast.scorers.learned import LearnedScorer


class EDifFiqa(LearnedScorer):
    """Quality distilled from DifFIQA, with optimised labels. Higher is better; about 0..1.

    Babnik, Peer, Štruc, "eDifFIQA: Towards Efficient Face Image Quality Assessment Based on
    Denoising Diffusion Probabilistic Models" (IEEE TBIOM 2024). Two linear layers (512 -> 1024,
    1024 -> 1) with an exact GELU between them read the raw embedding; T L2-normalises it first.
    Nothing bounds the output. Which of the four sizes runs depends on the weights.
    """

    spec = ScorerSpec(
        name="ediffiqa",
        title="eDifFIQA",
        paper='Babnik et al., "eDifFIQA: Towards Efficient Face Image Quality Assessment Based on'
        ' Denoising Diffusion Probabilistic Models", IEEE TBIOM 2024',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("head of eDifFIQA",),
        variants=(),
        precisions=PRECISIONS_OF_FORWARD_PASSES,
        networks=("iresnet100", "iresnet50", "iresnet18", "mobilefacenet"),
        weights="ediffiqaL.pth (iresnet100), M (iresnet50), S (iresnet18), T (mobilefacenet)",
        licence="CC BY 4.0 (T, in the OpenCV Zoo); the authors state none for the others",
    )
    head_kind = "ediffiqa"
