"""The norm of the embedding: the baseline that needs nothing but the network's forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fiqa_fast.scorers.base import Scorer, ScorerSpec


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
        variants=(),
    )

    @torch.no_grad()
    def _evaluate(
        self, crops: Tensor, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        embeddings = self.backbone(self.backbone.normalise(crops.to(self.backbone.device)))
        working = torch.float64 if embeddings.dtype == torch.float64 else torch.float32
        return {"score": embeddings.to(working).norm(dim=1)}
