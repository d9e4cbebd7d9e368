"""What the margin losses of face recognition share.

Each is a softmax cross entropy over scaled cosines between embeddings and class weights. A margin
makes the cosine to the own class harder to reach; CurricularFace also changes those to others.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from fiqa_fast.errors import InvalidArgumentError


@dataclass(frozen=True)
class SampleFacts:
    """What some margins need to know of the samples of the whole batch.

    Attributes:
        step: number of the training step; keys the draws of ElasticFace.
        magnitudes: [B], lengths of the raw embeddings; MagFace needs them.
        margins: [B], takes the place of the draws of ElasticFace.
    """

    step: int = 0
    magnitudes: Tensor | None = None
    margins: Tensor | None = None


@dataclass(frozen=True)
class HardNegatives:
    """Which cosines to other classes are changed, and how (CurricularFace).

    Attributes:
        thresholds: [B]; a cosine c above its sample's becomes c (t + c).
        t: scalar.
    """

    thresholds: Tensor
    t: Tensor

    def emphasise(self, cosines: Tensor) -> Tensor:
        """[B, C] -> [B, C]."""
        hard = cosines > self.thresholds[:, None]
        return torch.where(hard, cosines * (self.t + cosines), cosines)

    def slope(self, cosines: Tensor) -> Tensor:
        """The derivative of `emphasise`, [B, C]."""
        hard = cosines > self.thresholds[:, None]
        return torch.where(hard, self.t + 2 * cosines, torch.ones_like(cosines))


@dataclass(frozen=True)
class Margined:
    """What a margin makes of a batch.

    Attributes:
        cosines: [B], what takes the place of the cosines to the own classes.
        hard: what happens to the cosines to other classes; None: nothing.
    """

    cosines: Tensor
    hard: HardNegatives | None = None


class Margin(nn.Module, ABC):
    """A margin loss, as a change of cosines.

    Attributes:
        name: of the loss, in recipes.
        scale: s, what all cosines are multiplied by.
    """

    name: ClassVar[str]
    scale: float

    @abstractmethod
    def on_targets(self, own: Tensor, facts: SampleFacts) -> Margined:
        """Puts the margin on the cosines to the own classes.

        Args:
            own: float32 or float64 [B], of the whole batch.
            facts: of the same samples.
        """

    def regulariser(self, facts: SampleFacts) -> Tensor | None:
        """What is added to each sample's cross entropy, [B]; None: nothing."""
        return None

    def forward(
        self,
        cosines: Tensor,
        labels: Tensor,
        facts: SampleFacts | None = None,
        *,
        own: Tensor | None = None,
    ) -> Tensor:
        """Logits for a softmax cross entropy, with the whole matrix in memory.

        Args:
            cosines: [B, C] between embeddings and class weights, or some of the classes; any
                floating dtype.
            labels: int64 [B]: each sample's class, as a column; -1 where it is not among these
                columns.
            facts: of the samples; None: step 0, and nothing else is known.
            own: [B], the cosines to the own classes; None: all of them are in the matrix.

        Returns:
            [B, C]; float32, or float64 where the cosines are.

        Raises:
            InvalidArgumentError: wrong shapes or dtypes, a label that is no column, or missing
                facts.
        """
        _check(cosines, labels, own)
        cosines = in_full_precision(cosines)
        here = labels >= 0
        columns = labels.clamp(min=0)[:, None]
        own = cosines.gather(1, columns)[:, 0] if own is None else in_full_precision(own)
        margined = self.on_targets(own, SampleFacts() if facts is None else facts)
        others = cosines if margined.hard is None else margined.hard.emphasise(cosines)
        kept = others.gather(1, columns)
        targets = torch.where(here[:, None], margined.cosines[:, None], kept)
        return self.scale * others.scatter(1, columns, targets)


def in_full_precision(values: Tensor) -> Tensor:
    """float64 stays, all else becomes float32: bfloat16 would turn s cos by half a unit."""
    return values if values.dtype == torch.float64 else values.float()


def add_angle(own: Tensor, margin: float | Tensor) -> tuple[Tensor, Tensor]:
    """cos(theta + m) without the angle itself.

    Beyond theta = pi - m that cosine would rise again with theta. There, as the released ArcFace
    does without `easy_margin`, cos(theta) - m sin(m) takes its place: it keeps falling.

    The derivative of cos(theta + m) by cos(theta) is sin(theta + m) / sin(theta), infinite at
    theta = 0. Where the sine is below the resolution of the dtype its derivative counts as 0.

    Args:
        own: [B], cos(theta).
        margin: m in radians, of all samples or [B].

    Returns:
        The cosines with their margin, and cos(theta + m) everywhere; both [B].
    """
    own = own.clamp(-1, 1)
    if isinstance(margin, Tensor):
        cos_margin, sin_margin = margin.cos(), margin.sin()
    else:
        cos_margin, sin_margin = (own.new_tensor(f(margin)) for f in (math.cos, math.sin))
    sine = ((1 - own) * (1 + own)).clamp(min=torch.finfo(own.dtype).eps).sqrt()
    turned = own * cos_margin - sine * sin_margin
    return torch.where(own > -cos_margin, turned, own - margin * sin_margin), turned


def check_scale_and_margin(name: str, scale: float, margin: float) -> None:
    """Raises InvalidArgumentError for numbers that make no loss."""
    if not (0 < scale < math.inf):
        raise InvalidArgumentError(
            f"{name}: expected scale above 0, got {scale}; leave it out for the paper's"
        )
    if not (0 <= margin < math.pi):
        raise InvalidArgumentError(
            f"{name}: expected margin from 0 to below pi, got {margin}; leave it out for the"
            " paper's"
        )


def _check(cosines: Tensor, labels: Tensor, own: Tensor | None) -> None:
    if cosines.ndim != 2 or not cosines.is_floating_point():
        raise InvalidArgumentError(
            f"margin: expected cosines of shape [B, C] and a floating dtype, got"
            f" {list(cosines.shape)} and {cosines.dtype}; pass cosines to all classes"
        )
    batch, classes = cosines.shape
    if labels.shape != (batch,) or labels.dtype != torch.int64:
        raise InvalidArgumentError(
            f"margin: expected labels of shape [{batch}] and dtype torch.int64, got"
            f" {list(labels.shape)} and {labels.dtype}; pass the number of each sample's class"
        )
    if own is not None and own.shape != (batch,):
        raise InvalidArgumentError(
            f"margin: expected own of shape [{batch}], got {list(own.shape)}; pass one cosine for"
            " each sample"
        )
    lowest = -1 if own is not None else 0
    if batch and (int(labels.min()) < lowest or int(labels.max()) >= classes):
        raise InvalidArgumentError(
            f"margin: expected labels from {lowest} to {classes - 1}, got {int(labels.min())} to"
            f" {int(labels.max())}; number the classes without gaps"
        )
