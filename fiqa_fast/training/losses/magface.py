"""MagFace: the longer an embedding, the larger its margin."""

from __future__ import annotations

from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.losses.margin import (
    Margin,
    Margined,
    SampleFacts,
    add_angle,
    check_scale_and_margin,
    in_full_precision,
)


class MagFace(Margin):
    """ArcFace with the margin m(a) of the embedding's length a, and a pull towards great lengths.

    Q. Meng et al., "MagFace: A Universal Representation for Face Recognition and Quality
    Assessment" (CVPR 2021), Eq. 3: m(a) = (u_m - l_m) / (u_a - l_a) (a - l_a) + l_m, and
    lambda_g g(a) with g(a) = 1/a + a / u_a^2 is added to the loss. As in its released code lengths
    are cut off to l_a..u_a first, and the gradient reaches the length through the margin too. What
    happens beyond theta + m = pi is said in `add_angle`.

    Args:
        scale: s.
        shortest: l_a.
        longest: u_a.
        smallest_margin: l_m, in radians.
        largest_margin: u_m, in radians.
        weight: lambda_g.

    Raises:
        InvalidArgumentError: a number out of its range.
    """

    name = "magface"

    def __init__(
        self,
        scale: float = 64.0,
        shortest: float = 10.0,
        longest: float = 110.0,
        smallest_margin: float = 0.45,
        largest_margin: float = 0.8,
        weight: float = 35.0,
    ) -> None:
        super().__init__()
        for margin in (smallest_margin, largest_margin):
            check_scale_and_margin(self.name, scale, margin)
        if not 0 < shortest < longest:
            raise InvalidArgumentError(
                f"{self.name}: expected 0 < shortest < longest, got {shortest} and {longest}; leave"
                " them out for the paper's"
            )
        if not weight >= 0:
            raise InvalidArgumentError(
                f"{self.name}: expected weight of 0 or more, got {weight}; leave it out for the"
                " paper's"
            )
        self.scale, self.weight = scale, weight
        self.shortest, self.longest = shortest, longest
        self.smallest_margin = smallest_margin
        self._rise = (largest_margin - smallest_margin) / (longest - shortest)

    def on_targets(self, own: Tensor, facts: SampleFacts) -> Margined:
        """[B] -> [B]."""
        lengths = self._lengths(facts).to(own.dtype)
        if lengths.shape != own.shape:
            raise InvalidArgumentError(
                f"{self.name}: expected magnitudes of shape {list(own.shape)}, got"
                f" {list(lengths.shape)}; pass one for each sample"
            )
        margins = self._rise * (lengths - self.shortest) + self.smallest_margin
        return Margined(add_angle(own, margins)[0])

    def regulariser(self, facts: SampleFacts) -> Tensor:
        """lambda_g g(a), [B]."""
        lengths = self._lengths(facts)
        return self.weight * (1 / lengths + lengths / self.longest**2)

    def _lengths(self, facts: SampleFacts) -> Tensor:
        if facts.magnitudes is None:
            raise InvalidArgumentError(
                f"{self.name}: expected magnitudes, got None; pass the lengths of the raw"
                " embeddings"
            )
        return in_full_precision(facts.magnitudes).clamp(self.shortest, self.longest)
