"""ArcFace: a margin on the angle."""

from __future__ import annotations

from torch import Tensor

from fiqa_fast.training.losses.margin import (
    Margin,
    Margined,
    SampleFacts,
    add_angle,
    check_scale_and_margin,
)


class ArcFace(Margin):
    """s cos(theta + m) in place of s cos(theta).

    J. Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (CVPR 2019),
    Eq. 3. What happens beyond theta + m = pi is said in `add_angle`.

    Args:
        scale: s.
        margin: m, in radians.

    Raises:
        InvalidArgumentError: a number out of its range.
    """

    name = "arcface"

    def __init__(self, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__()
        check_scale_and_margin(self.name, scale, margin)
        self.scale, self.margin = scale, margin

    def on_targets(self, own: Tensor, facts: SampleFacts) -> Margined:
        """[B] -> [B]."""
        return Margined(add_angle(own, self.margin)[0])
