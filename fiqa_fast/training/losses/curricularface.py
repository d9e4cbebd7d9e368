"""CurricularFace: hard negatives count more the further the training is."""

from __future__ import annotations

import torch
from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.losses.margin import (
    HardNegatives,
    Margin,
    Margined,
    SampleFacts,
    add_angle,
    check_scale_and_margin,
)


class CurricularFace(Margin):
    """ArcFace's margin; and a cosine c to another class becomes c (t + c) above cos(theta + m).

    Y. Huang et al., "CurricularFace: Adaptive Curriculum Learning Loss for Deep Face Recognition"
    (CVPR 2020): T(cos theta) = cos(theta + m), the modulation N(t, c) of the negatives, and t, the
    exponential running mean of the cosines to the own classes. In training t takes in a batch
    before it is used on it, without gradient; in evaluation it stays. What happens beyond
    theta + m = pi is said in `add_angle`.

    Args:
        scale: s.
        margin: m, in radians.
        momentum: what t keeps of itself at a step.

    Raises:
        InvalidArgumentError: a number out of its range.
    """

    name = "curricularface"
    t: Tensor

    def __init__(self, scale: float = 64.0, margin: float = 0.5, momentum: float = 0.99) -> None:
        super().__init__()
        check_scale_and_margin(self.name, scale, margin)
        if not 0 <= momentum <= 1:
            raise InvalidArgumentError(
                f"{self.name}: expected momentum from 0 to 1, got {momentum}; leave it out for the"
                " paper's"
            )
        self.scale, self.margin, self.momentum = scale, margin, momentum
        self.register_buffer("t", torch.zeros((), dtype=torch.float64))

    def on_targets(self, own: Tensor, facts: SampleFacts) -> Margined:
        """[B] -> [B], and the rule for the negatives; moves t in training."""
        cosines, turned = add_angle(own, self.margin)
        if self.training:
            with torch.no_grad():
                mean = own.mean(dtype=torch.float64).to(self.t)
                self.t.copy_(self.momentum * self.t + (1 - self.momentum) * mean)
        # A copy: the next step moves t, maybe before this one's backward.
        return Margined(cosines, HardNegatives(turned.detach(), self.t.to(own.dtype, copy=True)))
