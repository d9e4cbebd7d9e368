"""The optimisation paper's regressor: learns the labels of another method after improving them."""

from __future__ import annotations

from fiqa_fast.scorers.base import PRECISIONS_OF_FORWARD_PASSES, ScorerSpec
from fiqa_fast.scorers.learned import LearnedScorer


class LabelRegressor(LearnedScorer):
    """Quality regressed from optimised labels of another method. Higher is better; about 0..1.

    Babnik, Damer, Štruc, "Optimization-Based Improvement of Face Image Quality Assessment
    Techniques" (IWBF 2023). The labels of an existing method are re-ordered by what the
    similarities of mated pairs say, scaled to [0, 1], and learned by a recognition network with one
    linear layer on its raw embedding. Nothing bounds the output. The authors released the training
    code, so the weights are of one's own training.
    """

    spec = ScorerSpec(
        name="label-regressor",
        title="Optimised-label regressor",
        paper='Babnik et al., "Optimization-Based Improvement of Face Image Quality Assessment'
        ' Techniques", IWBF 2023',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("head of the regressor",),
        variants=(),
        precisions=PRECISIONS_OF_FORWARD_PASSES,
        networks=("iresnet100",),
        weights="a file of your own training, with the authors' names (base_model.*, regressor.*)",
        licence="yours, within that of the network it started from",
    )
    head_kind = "label-regressor"
