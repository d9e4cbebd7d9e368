"""ElasticFace: margins that are drawn anew for each sample and step."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.draws import check_seed, normal_of_positions
from fiqa_fast.training.losses.margin import (
    Margin,
    Margined,
    SampleFacts,
    add_angle,
    check_scale_and_margin,
)


class ElasticFace(Margin):
    """A margin from the normal distribution N(m, sigma) for each sample.

    F. Boutros et al., "ElasticFace: Elastic Margin Loss for Deep Face Recognition" (CVPRW 2022).
    The draws are keyed by seed, step and position in the whole batch.

    Args:
        scale: s.
        margin: m, the mean; None: that of the paper.
        sigma: the standard deviation; 0.05 is the one that the paper chose for both kinds.
        seed: 0 <= seed < 2**63.

    Raises:
        InvalidArgumentError: a number out of its range.
    """

    usual_margin: ClassVar[float]

    def __init__(
        self,
        scale: float = 64.0,
        margin: float | None = None,
        sigma: float = 0.05,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.margin = self.usual_margin if margin is None else margin
        check_scale_and_margin(self.name, scale, self.margin)
        if not 0 <= sigma < 1:
            raise InvalidArgumentError(
                f"{self.name}: expected sigma from 0 to below 1, got {sigma}; leave it out for the"
                " paper's"
            )
        check_seed(seed)
        self.scale, self.sigma, self.seed = scale, sigma, seed

    def margins(self, own: Tensor, facts: SampleFacts) -> Tensor:
        """[B], like the cosines: those of the facts, or drawn."""
        if facts.margins is None:
            drawn = normal_of_positions(self.seed, facts.step, len(own)).to(own)
            return self.margin + self.sigma * drawn
        if facts.margins.shape != own.shape:
            raise InvalidArgumentError(
                f"{self.name}: expected margins of shape {list(own.shape)}, got"
                f" {list(facts.margins.shape)}; pass one for each sample, or leave them out"
            )
        return facts.margins.to(own)


class ElasticArcFace(ElasticFace):
    """ElasticFace-Arc: s cos(theta + m_i); beyond pi as in ArcFace, see `add_angle`."""

    name, usual_margin = "elastic-arcface", 0.5

    def on_targets(self, own: Tensor, facts: SampleFacts) -> Margined:
        """[B] -> [B]."""
        return Margined(add_angle(own, self.margins(own, facts))[0])


class ElasticCosFace(ElasticFace):
    """ElasticFace-Cos: s (cos(theta) - m_i)."""

    name, usual_margin = "elastic-cosface", 0.35

    def on_targets(self, own: Tensor, facts: SampleFacts) -> Margined:
        """[B] -> [B]."""
        return Margined(own - self.margins(own, facts))
