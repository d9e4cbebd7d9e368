"""SER-FIQ: how much a face's embedding varies over random sub-networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.fused.forward_pass import FusedForwardPass
from fiqa_fast.noise import Stream, sample_keys
from fiqa_fast.ops.dropout_copies import dropout_copies
from fiqa_fast.scorers.base import (
    PRECISIONS_OF_FORWARD_PASSES,
    NoiseSpec,
    Scorer,
    ScorerOptions,
    ScorerSpec,
    require_embedding,
    working,
)


@dataclass(frozen=True)
class SerFiqOptions(ScorerOptions):
    """Parameters of SER-FIQ.

    Attributes:
        T: random sub-networks (dropout masks) for each image.
        scaling: factor of the distance in the sigmoid; None: 8 for the official variant (the
            authors' torch code), 1 for the paper's and for the authors' original code.
        code: which of the authors' two programs the official variant follows: "torch" (None means
            this one), or "original", which spreads the scores by a second sigmoid.
    """

    T: int = 100
    scaling: float | None = None
    code: str | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.T, int) and self.T >= 2):
            raise InvalidArgumentError(
                f"ser-fiq: expected T to be a whole number >= 2, got {self.T!r};"
                " the paper uses T=100"
            )
        if self.scaling is not None and not self.scaling > 0:
            raise InvalidArgumentError(
                f"ser-fiq: expected scaling > 0, got {self.scaling!r}; leave it out for the"
                " variant's own"
            )
        if self.code not in (None, "torch", "original"):
            raise InvalidArgumentError(
                f"ser-fiq: expected code to be torch or original, got {self.code!r};"
                " leave it out for torch"
            )


class SerFiq(Scorer):
    """Stochastic embedding robustness. Higher is better; 0..1.

    Terhörst et al., "SER-FIQ: Unsupervised Estimation of Face Image Quality Based on Stochastic
    Embedding Robustness" (CVPR 2020). Dropout in front of the network's last linear layer gives T
    embeddings, which are L2-normalised; with d the mean of their pairwise Euclidean distances,

        score = 2 / (1 + exp(scaling * d)).                                          (Eq. 1)

    Variants: "paper" averages over the T (T - 1) / 2 pairs, with scaling 1; "official" divides
    their sum by T^2, with scaling 8, as the authors' torch code does. With `code="original"` the
    official variant is their first program: the paper's score, then sigmoid(130 (score - 0.88)).

    Noise: masks [B, T, F] of bool, True where a feature is kept, F the number of features in front
    of the dropout layer (50176 for SFace, in channels, rows, columns order).
    """

    spec = ScorerSpec(
        name="ser-fiq",
        title="SER-FIQ",
        paper='Terhörst et al., "SER-FIQ: Unsupervised Estimation of Face Image Quality Based on'
        ' Stochastic Embedding Robustness", CVPR 2020',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("embedding", "dropout"),
        precisions=PRECISIONS_OF_FORWARD_PASSES,
        weights="any; the paper's is an ArcFace iresnet100",
        licence="that of the file; the paper's is for research only",
        proof="official",
        is_random=True,
    )
    options_type = SerFiqOptions
    options: SerFiqOptions

    def _check_backbone(self) -> None:
        require_embedding(self)
        if self.variant == "paper" and self.options.code is not None:
            raise InvalidArgumentError(
                f"ser-fiq: expected code with the variant official only, got {self.options.code!r}"
                " with paper; leave it out"
            )
        if not 0 < self.backbone.spec.dropout < 1:
            raise InvalidArgumentError(
                "ser-fiq: expected a network with dropout in front of its last layer,"
                f" got {self.backbone.spec.name} without; choose another network"
            )

    def _check_noise(self, noise: Tensor | None, batch_size: int) -> None:
        if noise is None:
            return
        expected = [batch_size, self.options.T]
        if list(noise.shape[:-1]) != expected or noise.dtype != torch.bool:
            raise InvalidArgumentError(
                f"ser-fiq: expected bool masks of shape [{batch_size}, {self.options.T}, features]"
                f" (B, T, F; True where a feature is kept), got {list(noise.shape)} of"
                f" {noise.dtype}; draw them with torch.rand(shape) >= p, or leave them out"
            )

    @torch.no_grad()
    def _evaluate(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        features = forward.features
        if noise is not None and noise.shape[2] != features.shape[1]:
            raise InvalidArgumentError(
                f"ser-fiq: expected masks for {features.shape[1]} features of"
                f" {self.backbone.spec.name}, got {noise.shape[2]}; draw them in that size"
            )
        embed = self.backbone.embed
        if isinstance(forward, FusedForwardPass):
            embed = forward.network.embedding.of_features
        scaled = features / (1 - self.backbone.spec.dropout)
        copies = self._copies(scaled, forward.crops, noise)
        return {"score": torch.stack([self._robustness(embed(rows)) for rows in copies])}

    @property
    def noise_spec(self) -> NoiseSpec:
        """Masks: True where a feature is kept."""
        return NoiseSpec((self.options.T, self._feature_count), torch.bool)

    def draw_noise(self, crops: Tensor) -> Tensor:
        """The masks that no noise stands for: bool [B, T, F]."""
        return self._draw(crops, self._feature_count)

    @cached_property
    def _feature_count(self) -> int:
        """F, found by a pass."""
        size = self.backbone.spec.input
        crop = torch.zeros(1, 3, size.height_px, size.width_px, dtype=torch.uint8)
        return ForwardPass(self.backbone, crop).features.shape[1]

    def evaluate_batch(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        """All copies of all crops together; noise [B, T, F] is 0 or 1."""
        if noise is None:
            noise = self.draw_noise(forward.crops)
        scaled = forward.features / (1 - self.backbone.spec.dropout)
        copies = scaled[:, None] * noise.to(scaled)
        embeddings = self.backbone.embed(copies.flatten(0, 1))
        return {
            "score": self._robustness(
                embeddings.reshape(-1, *noise.shape[1:2], *embeddings.shape[1:])
            )
        }

    def _copies(self, features: Tensor, crops: Tensor, noise: Tensor | None) -> Iterator[Tensor]:
        """The features [n, F] with some of them dropped: for each crop [T, F]."""
        if noise is not None:
            return (f * kept.to(f) for f, kept in zip(features, noise, strict=True))
        # One crop's copies at a time: those of a pass would not stay in a CPU's cache.
        return (self._drop(features[i : i + 1], crops[i : i + 1])[0] for i in range(len(crops)))

    def _drop(self, features: Tensor, crops: Tensor) -> Tensor:
        """[n, F] -> [n, T, F], zeros where draws keyed by each crop's pixels say so."""
        return dropout_copies(
            features,
            sample_keys(crops),
            self.options.T,
            self.backbone.spec.dropout,
            seed=self.seed,
            stream=Stream.SER_FIQ_MASKS,
        )

    def _draw(self, crops: Tensor, feature_count: int) -> Tensor:
        """The masks that `_drop` applies: bool [n, T, F]."""
        shape = (len(crops), feature_count)
        ones = torch.ones(shape, dtype=torch.bfloat16, device=self.backbone.device)
        return self._drop(ones, crops) > 0

    def _robustness(self, embeddings: Tensor) -> Tensor:
        """Raw embeddings of T sub-networks, [..., T, D] -> [...]."""
        directions = F.normalize(embeddings.double(), dim=-1)
        # |a - b|^2 = 2 - 2 a b: exact enough in float64, where nothing of 2 - 2 a b is lost.
        squares = (2 - 2 * directions @ directions.mT).clamp_min(0)
        total = squares.sqrt().triu(1).sum((-2, -1))
        official = self.variant == "official"
        as_torch_code = official and self.options.code != "original"
        count = self.options.T
        pairs = count**2 if as_torch_code else count * (count - 1) / 2
        scaling = self.options.scaling or (8.0 if as_torch_code else 1.0)
        score = 2 * torch.sigmoid(-scaling * total / pairs)
        if official and not as_torch_code:
            score = torch.sigmoid(130 * (score - 0.88))
        return score.to(working(embeddings).dtype)
