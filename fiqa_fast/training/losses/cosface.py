"""CosFace: a margin on the cosine."""

from __future__ import annotations

from torch import Tensor

from fiqa_fast.training.losses.margin import Margin, Margined, SampleFacts, check_scale_and_margin


class CosFace(Margin):
    """s (cos(theta) - m) in place of s cos(theta).

    H. Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition" (CVPR 2018),
    Eq. 4.

    Args:
        scale: s.
        margin: m.

    Raises:
        InvalidArgumentError: a number out of its range.
    """

    name = "cosface"

    def __init__(self, scale: float = 64.0, margin: float = 0.35) -> None:
        super().__init__()
        check_scale_and_margin(self.name, scale, margin)
        self.scale, self.margin = scale, margin

    def on_targets(self, own: Tensor, facts: SampleFacts) -> Margined:
        """[B] -> [B]."""
        return Margined(own - self.margin)
