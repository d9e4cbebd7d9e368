"""PCNet: predicts how similar two images of a person will be, from one of them."""

from __future__ import annotations

from fiqa_fast.scorers.base import ScorerSpec
from fiqa_fast.scorers.learned import LearnedScorer


class PCNet(LearnedScorer):
    """Predicted confidence, on the scale of a cosine similarity. Higher is better.

    Xie, Byrne, Zisserman, "Inducing Predictive Uncertainty Estimation for Face Verification" (BMVC
    2020). A network is trained on mated pairs so that the lower of two confidences is the pair's
    similarity: (cos - min(p_i, p_j))^2.

    The authors released neither code nor weights, so two things are this package's own: the names
    of the tensors (`pcnet.weight` [1, D], `pcnet.bias` [1], beside a network of any known layout),
    and the output, which is the linear layer's, without an activation: the loss alone ties it to
    the range of a cosine.
    """

    spec = ScorerSpec(
        name="pcnet",
        title="PCNet",
        paper='Xie et al., "Inducing Predictive Uncertainty Estimation for Face Verification", BMVC'
        " 2020",
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("head of PCNet",),
        variants=(),
        weights="a file of your own training, with the head as pcnet.weight and pcnet.bias",
        licence="yours; the authors released no weights",
    )
    head_kind = "pcnet"
