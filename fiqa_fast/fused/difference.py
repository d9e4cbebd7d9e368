"""Small differences to an image, pushed through a network and back without losing digits.

FaceQAN's noise is smaller than the resolution of bf16, but its effect is not small relative to
itself: convolutions and BatchNorm layers are linear, and PReLU passes on the difference of its
values. So the image itself runs once, and only differences to it travel, for all of its noisy
copies; back the same, for the direction in which the embedding turns away. Of that gradient only
the sign is used, so that its scale does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fiqa_fast.fused.network import FusedNetwork
from fiqa_fast.fused.units import Kept


@dataclass(frozen=True)
class Turn:
    """How far the embeddings of N * k copies turned away from those of their N images.

    Attributes:
        cosine: [N, k], float64.
        direction: [N * k, D], float32: the unit vector in which the angle grows fastest.
        masks: for every unit, which of its PReLUs are open.
    """

    cosine: Tensor
    direction: Tensor
    masks: list[Kept]


class DifferencePass:
    """Differences to N images.

    Args:
        network: the fused network.
        kept: what the pass of the N images kept, for every unit.
        embeddings: raw, of the N images: [N, D].
    """

    def __init__(self, network: FusedNetwork, kept: Sequence[Kept], embeddings: Tensor) -> None:
        self._network, self._kept = network, kept
        self._embeddings = embeddings

    def forward(self, d: Tensor) -> Turn:
        """Pushes differences of the network's input through the network.

        Args:
            d: [N * k, 3, H, W], the copies of an image one after the other.
        """
        d = d.to(self._network.dtype).contiguous(memory_format=torch.channels_last)
        masks = []
        for unit, kept in zip(self._network.units, self._kept, strict=True):
            d, of_unit = unit.difference(d, kept)
            masks.append(of_unit)
        return self._turn(self._network.embedding.linear(d), masks)

    def backward(self, turn: Turn) -> Tensor:
        """The gradient of the angle at the network's input, up to a positive factor for each copy.

        Returns:
            [N * k, 3, H, W] in the network's precision.
        """
        network = self._network
        grad = network.embedding.backward(turn.direction.to(network.dtype))
        for unit, masks in zip(reversed(network.units), reversed(turn.masks), strict=True):
            grad = unit.difference_backward(grad, masks)
        return grad

    def _turn(self, dy: Tensor, masks: list[Kept]) -> Turn:
        """From the differences of the embeddings, [N * k, D].

        1 - cos(y, y + dy) would cancel; the tangent of the angle is the part of dy across y over
        the length of y and the part along it.
        """
        y = self._embeddings
        dy = dy.to(y.dtype).reshape(len(y), -1, y.shape[1])
        length = y.norm(dim=1, keepdim=True)[:, None]  # [N, 1, 1]
        unit = y[:, None] / length
        along = (dy * unit).sum(2, keepdim=True)
        across = dy - along * unit
        width = across.norm(dim=2, keepdim=True)
        angle = torch.atan2(width.double(), (length + along).double())
        cosine, sine = angle.cos(), angle.sin()
        # -d cos / d(dy), of length 1: across, turned by the angle itself.
        direction = across / width.clamp_min(1e-30) * cosine.to(y.dtype) - unit * sine.to(y.dtype)
        return Turn(cosine[:, :, 0], direction.flatten(0, 1), masks)
