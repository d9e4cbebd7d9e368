"""The statistics loss of GraFIQs over all BatchNorm layers of a network at once.

A pass writes the moments of every BatchNorm input into one table, [2, N, columns], a column for
each channel of each layer in the order of the pass. Loss and gradient are then a few operations on
whole tables instead of a few for each of a hundred layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fiqa_fast.fused.batch_norm import FusedBatchNorm


class StatisticsTable:
    """Running statistics and weights of the columns.

    Args:
        layers: in the order of their columns.
        pixels: of each layer's input: H * W.
        layer_count: divisor of the loss: all BatchNorm2d layers of the network.
    """

    def __init__(
        self, layers: Sequence[FusedBatchNorm], pixels: Sequence[int], layer_count: int
    ) -> None:
        like = layers[0].running_mean
        self.running_mean = torch.cat([layer.running_mean for layer in layers])
        self.running_var = torch.cat([layer.running_var for layer in layers])
        channels = [len(layer.scale) for layer in layers]
        repeats = torch.tensor(channels, device=like.device)
        self._pixels = like.new_tensor(pixels).repeat_interleave(repeats)
        self._channels = like.new_tensor(channels).repeat_interleave(repeats)
        self._layer_count = layer_count

    def new_moments(self, images: int) -> Tensor:
        """An empty table of moments, [2, N, columns]: mean and biased variance."""
        return self.running_mean.new_empty(2, images, len(self.running_mean))

    def loss(self, moments: Tensor, first_column: int, *, paper: bool) -> Tensor:
        """The part of the loss that the columns from `first_column` on make up: [N].

        Official: (1 / layers) sum over layers of the mean over channels of the squared distances of
        mean and variance to the running ones. Paper (GraFIQs, Eq. 4): sums over channels, and
        standard deviations instead of variances.
        """
        columns = slice(first_column, None)
        mean, var = moments[:, :, columns]
        spread, running = (
            (var.sqrt(), self.running_var[columns].sqrt())
            if paper
            else (var, self.running_var[columns])
        )
        errors = (mean - self.running_mean[columns]).square() + (spread - running).square()
        weights = self._weights(columns, paper=paper)
        loss: Tensor = (errors * weights).sum(1, dtype=torch.float64).to(mean.dtype)
        return loss

    def gradient_terms(self, moments: Tensor, *, paper: bool) -> Tensor:
        """The loss's gradient at each BatchNorm input x is a + b * x: [2, N, columns].

        d mean / dx = 1 / HW and d var / dx = 2 (x - mean) / HW. A constant channel (standard
        deviation 0) gets no gradient from its standard deviation.
        """
        mean, var = moments
        weights = self._weights(slice(None), paper=paper) / self._pixels
        if paper:
            std = var.sqrt()
            slope = torch.where(std > 0, 1 - self.running_var.sqrt() / std, 0.0)
        else:
            slope = 2 * (var - self.running_var)
        b = 2 * weights * slope
        a = 2 * weights * (mean - self.running_mean) - b * mean
        return torch.stack([a, b])

    def _weights(self, columns: slice, *, paper: bool) -> Tensor:
        """1 / layers, for the official loss over the channels of the layer: [columns]."""
        channels = self._channels[columns]
        return (torch.ones_like(channels) if paper else 1 / channels) / self._layer_count
