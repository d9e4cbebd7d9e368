"""SDD-FIQA: a learned estimate of how well a face can be told from those of other identities."""

from __future__ import annotations

from fiqa_fast.scorers.base import ScorerSpec
from fiqa_fast.scorers.learned import LearnedScorer


class SddFiqa(LearnedScorer):
    """Learned similarity distribution distance. Higher is better; about 0..100, not clipped.

    Ou et al., "SDD-FIQA: Unsupervised Face Image Quality Assessment with Similarity Distribution
    Distance" (CVPR 2021). A regression was trained to predict the Wasserstein distance between the
    distribution of a face's similarities to its own identity and that of its similarities to other
    identities, rescaled to 0..100. One PReLU slope per feature and a linear layer read the last
    activation of an IR-50.
    """

    spec = ScorerSpec(
        name="sdd-fiqa",
        title="SDD-FIQA",
        paper='Ou et al., "SDD-FIQA: Unsupervised Face Image Quality Assessment with Similarity'
        ' Distribution Distance", CVPR 2021',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("head of SDD-FIQA",),
        variants=(),
        networks=("sdd-ir50",),
        weights="SDD_FIQA_checkpoints_r50.pth",
        licence="Apache-2.0",
        proof="twin",
    )
    head_kind = "sdd-fiqa"
