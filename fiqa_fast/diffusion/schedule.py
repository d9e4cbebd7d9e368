"""How much noise each level of a diffusion model has, and the steps between the levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import Float64Array


@dataclass(frozen=True)
class NoiseSchedule:
    """The noise levels 0, 1, ..., T - 1 of a diffusion model; level 0 has the least noise.

    Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models" (NeurIPS 2020). Level k here is the
    paper's time t = k + 1: the paper's x_0, the image without noise, has no level.

    Args:
        betas: float64 [T], each in (0, 1): the variance that each level adds.

    Raises:
        InvalidArgumentError: betas of another shape or range.
    """

    betas: Float64Array

    def __post_init__(self) -> None:
        betas = self.betas
        if betas.ndim != 1 or not len(betas) or not np.all((betas > 0) & (betas < 1)):
            raise InvalidArgumentError(
                "noise schedule: expected betas of shape [T], each in (0, 1),"
                f" got shape {list(betas.shape)}; give the diffusion model's own schedule"
            )

    def __len__(self) -> int:
        return len(self.betas)

    @cached_property
    def alpha_products(self) -> Float64Array:
        """[T]: part of the image's variance that is left at each level (the paper's alpha-bar)."""
        return np.cumprod(1 - self.betas, dtype=np.float64)

    def add_noise(self, image: Tensor, level: int, noise: Tensor) -> Tensor:
        """An image with the noise of a level (Eq. 4).

        Args:
            image: [N, C, H, W], range -1..1.
            level: 0 <= level < T.
            noise: standard normal numbers, [N, C, H, W].

        Returns:
            [N, C, H, W].
        """
        kept = float(self.alpha_products[level])
        return math.sqrt(kept) * image + math.sqrt(1 - kept) * noise

    def previous(self, noisy: Tensor, level: int, image: Tensor, noise: Tensor | None) -> Tensor:
        """One step back: from a level to the one below, given a guess of the image (Eq. 6, 7).

        Args:
            noisy: what there is at the level, [N, C, H, W].
            level: 0 <= level < T.
            image: the guess of the image without noise, [N, C, H, W].
            noise: standard normal numbers, [N, C, H, W]; None takes the mean of the step. Level 0
                has no noise below it: there the result is `image`, whatever the noise.

        Returns:
            [N, C, H, W] at level - 1; without noise below level 0.
        """
        beta, kept = float(self.betas[level]), float(self.alpha_products[level])
        kept_below = float(self.alpha_products[level - 1]) if level else 1.0
        added = 1 - kept
        mean = (
            beta * math.sqrt(kept_below) / added * image
            + (1 - kept_below) * math.sqrt(1 - beta) / added * noisy
        )
        if noise is None:
            return mean
        return mean + math.sqrt(beta * (1 - kept_below) / added) * noise
