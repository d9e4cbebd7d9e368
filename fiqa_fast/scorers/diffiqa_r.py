"""DifFIQA(R): a recognition network's linear estimate of the quality that DifFIQA gives."""

from __future__ import annotations

from fiqa_fast.scorers.base import PRECISIONS_OF_FORWARD_PASSES, ScorerSpec
from fiqa_fast.scorers.learned import LearnedScorer


class DifFiqaR(LearnedScorer):
    """Quality regressed from DifFIQA's. Higher is better; about 0..1.

    Babnik, Peer, Štruc, "DifFIQA: Face Image Quality Assessment Using Denoising Diffusion
    Probabilistic Models" (IJCB 2023), the regression variant: one linear layer without an
    activation on the raw embedding of a CosFace iresnet100, fine-tuned to predict the scores of the
    full method. Nothing bounds the output.
    """

    spec = ScorerSpec(
        name="diffiqa-r",
        title="DifFIQA(R)",
        paper='Babnik et al., "DifFIQA: Face Image Quality Assessment Using Denoising Diffusion'
        ' Probabilistic Models", IJCB 2023',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("head of DifFIQA(R)",),
        variants=(),
        precisions=PRECISIONS_OF_FORWARD_PASSES,
        networks=("iresnet100",),
        weights="the weights of DifFIQA(R) that the authors' repository links to",
        licence="no licence stated by its authors",
    )
    head_kind = "diffiqa-r"
