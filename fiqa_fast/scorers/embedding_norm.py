"""The norm of the embedding: the baseline that needs nothing but the network's forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.scorers.base import (
    PRECISIONS_OF_FORWARD_PASSES,
    Scorer,
    ScorerSpec,
    require_embedding,
    working,
)


class EmbeddingNorm(Scorer):
    """L2 norm of the raw embedding, before any normalisation. Higher is better.

    A network trained with a softmax loss over normalised embeddings tends to give faces that it
    cannot recognise short ones (Parde et al., "Face and image representation in deep CNN features",
    FG 2017); MagFace trains for it.
    """

    spec = ScorerSpec(
        name="embedding-norm",
        title="Embedding norm",
        paper='Parde et al., "Face and Image Representation in Deep CNN Features", FG 2017',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("embedding",),
        variants=(),
        precisions=PRECISIONS_OF_FORWARD_PASSES,
        weights="any",
        licence="that of the file",
    )

    def _check_backbone(self) -> None:
        require_embedding(self)

    def _evaluate(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        return {"score": working(forward.embedding).norm(dim=1)}
