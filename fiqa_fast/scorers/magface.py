"""MagFace: the length of the embedding, from a network that was trained to make it the quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.base import PRECISIONS_OF_FORWARD_PASSES, Scorer, ScorerSpec, working

_NETWORKS = "magface-"


class MagFace(Scorer):
    """L2 norm of the raw embedding of a MagFace network. Higher is better.

    Meng, Zhao, Huang, Zhou, "MagFace: A Universal Representation for Face Recognition and Quality
    Assessment" (CVPR 2021). The loss rewards long embeddings of faces that lie near their class
    centre, between the magnitudes l_a = 10 and u_a = 110. The input (BGR, x / 255) and the epsilon
    of BatchNorm (2e-5) of the authors' code belong to the `magface-` networks.

    On any other network the same number is the method "embedding-norm".
    """

    spec = ScorerSpec(
        name="magface",
        title="MagFace",
        paper='Meng et al., "MagFace: A Universal Representation for Face Recognition and Quality'
        ' Assessment", CVPR 2021',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("network of MagFace",),
        variants=(),
        precisions=PRECISIONS_OF_FORWARD_PASSES,
        networks=("magface-iresnet100", "magface-iresnet50", "magface-iresnet18"),
        weights="magface_epoch_00025.pth (iresnet100)",
        licence="MIT; trained on MS1MV2, which is for research only",
        proof="official",
    )

    def _check_backbone(self) -> None:
        name = self.backbone.spec.name
        if not name.startswith(_NETWORKS):
            raise InvalidArgumentError(
                f"magface: expected a MagFace network, got {name}; bring its weights"
                f' ({self.spec.weights}) and name it, such as backbone="magface-iresnet100", or use'
                ' the method "embedding-norm"'
            )

    def _evaluate(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        return {"score": working(forward.embedding).norm(dim=1)}
