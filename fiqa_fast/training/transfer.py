"""Transfer learning: a recognition network learns the labels of any quality method.

Ž. Babnik, N. Damer, V. Štruc, "Optimization-Based Improvement of Face Image Quality Assessment
Techniques" (IWBF 2023): a linear layer on the embedding, L1 loss to labels scaled to 0..1, learning
rates by layer. Whatever the labels cost, the result is one forward pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.data.loader import Batch
from fiqa_fast.training.dropout import mask_keys
from fiqa_fast.training.loop import Task
from fiqa_fast.training.network import QualityNetwork
from fiqa_fast.types import Float64Array

HEAD_RATE, HEAD_DECAY = 1e-3, 1e-4


@dataclass(frozen=True)
class LayerRates:
    """Learning rate and weight decay of a run of parameter tensors, counted from the last.

    Attributes:
        first, last: tensors [-first:-last], 0 < last < first; last 0 for the end.
    """

    first: int
    last: int
    rate: float
    weight_decay: float


PAPER_RATES = (
    LayerRates(10, 0, 1e-3, 1e-5),
    LayerRates(50, 10, 1e-4, 1e-6),
    LayerRates(100, 50, 1e-5, 1e-6),
)
"""Of the released code, for an iresnet100; what lies in front of these tensors does not learn."""


def scale_labels(labels: Float64Array, *, higher_is_better: bool) -> Float64Array:
    """Labels as the regressor learns them: min-max scaled to 0..1, higher is better.

    Args:
        labels: float64 [S], finite.
        higher_is_better: their polarity.

    Raises:
        InvalidArgumentError: not finite, or all equal.
    """
    if labels.ndim != 1 or not np.isfinite(labels).all():
        raise InvalidArgumentError(
            f"train: expected finite labels of shape [S], got {list(labels.shape)} with"
            f" {int((~np.isfinite(labels)).sum())} that are not; leave these samples out"
        )
    low, span = labels.min(initial=np.inf), np.ptp(labels) if len(labels) else 0
    if not span > 0:
        raise InvalidArgumentError(
            "train: expected labels that differ, got equal ones; score the samples again"
        )
    scaled: Float64Array = (labels - low) / span
    return scaled if higher_is_better else 1 - scaled


class TransferTask(Task):
    """Labels of samples, by L1.

    Args:
        network: with the regressor's head.
        seed: of the dropout.
        best: keeps the best state so far, where there is validation; checkpoints hold it.
        forward: the network in DistributedDataParallel; None: the network itself.
    """

    def __init__(
        self,
        network: QualityNetwork,
        *,
        seed: int = 0,
        best: nn.Module | None = None,
        forward: nn.Module | None = None,
    ) -> None:
        kept = {"network": network, "best": best}
        self.parts = {name: part for name, part in kept.items() if part is not None}
        self._network, self._seed = network, seed
        self._forward = network if forward is None else forward

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """ "loss": the mean distance between quality and label."""
        if batch.labels is None:
            raise InvalidArgumentError(
                "train: expected batches with labels, got some without; give labels to the loader"
            )
        _, predicted = self._forward(batch.images, mask_keys(self._seed, step, batch.positions))
        return {"loss": nn.functional.l1_loss(predicted.float(), batch.labels)}

    def clipped(self) -> Iterable[nn.Parameter]:
        """Those that learn; gradients of others would crush theirs."""
        return [p for p in self._network.parameters() if p.requires_grad]

    def parameter_groups(
        self, rates: Iterable[LayerRates] = PAPER_RATES, base: float = HEAD_RATE
    ) -> list[dict[str, Any]]:
        """For the optimiser: the head, and runs of layers with a factor "scale" of the base rate.

        Parameters of the network that no run names stop learning.
        """
        head = list(self._network.head.parameters())
        of_head = {id(p) for p in head}
        layers = [p for p in self._network.backbone.parameters() if id(p) not in of_head]
        groups: list[dict[str, Any]] = [
            {"params": head, "weight_decay": HEAD_DECAY, "scale": HEAD_RATE / base}
        ]
        learns: set[int] = set()
        for run in () if self._network.frozen else rates:
            chosen = layers[-run.first : len(layers) - run.last]
            if chosen:
                learns |= {id(p) for p in chosen}
                groups.append(
                    {"params": chosen, "weight_decay": run.weight_decay, "scale": run.rate / base}
                )
        for parameter in layers:
            parameter.requires_grad_(id(parameter) in learns)
        return groups


@torch.no_grad()
def validation_loss(network: QualityNetwork, batches: Iterable[Batch]) -> float:
    """The mean L1 distance over batches, in inference mode."""
    was_training = network.training
    network.eval()
    total, count = 0.0, 0
    for batch in batches:
        if batch.labels is None:
            raise InvalidArgumentError(
                "train: expected batches with labels, got some without; give labels to the loader"
            )
        _, predicted = network(batch.images)
        total += float((predicted.float() - batch.labels).abs().sum())
        count += len(batch.labels)
    network.train(was_training)
    return total / max(count, 1)
