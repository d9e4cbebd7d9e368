"""Distilling any quality method into one forward pass: its scores become labels of a regressor."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.layers.heads import RegressorHead
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.data.augment import Augmentation
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.loader import Batch, TrainingLoader
from fiqa_fast.training.data.order import SampleOrder
from fiqa_fast.training.distribution import Processes
from fiqa_fast.training.log import TrainingLog
from fiqa_fast.training.loop import LoopSettings, run_training
from fiqa_fast.training.network import QualityNetwork, new_head, write_network
from fiqa_fast.training.schedule import StepSchedule
from fiqa_fast.training.train_cr_fiqa import NETWORK_FILE, batches_from
from fiqa_fast.training.transfer import (
    HEAD_RATE,
    PAPER_RATES,
    TransferTask,
    scale_labels,
    validation_loss,
)
from fiqa_fast.types import Float64Array

_VALIDATION_EVERY = 20


@dataclass(frozen=True)
class DistillSettings:
    """How a regressor is trained. The defaults are those of the released code, but for the epochs.

    Attributes:
        head_only: whether the network stays as it is.
        epochs: over the training samples; the released code has one over 3.1 million.
        batch_size: of a step.
        dropout: in front of the last layer.
        flip: whether samples are mirrored at random.
        clip_norm: of the gradient of what learns.
        precision: float32, bf16 or fp16.
        validate_every: steps between validations; the best network is kept. 0: once an epoch.
        seed: of everything.
    """

    head_only: bool = False
    epochs: int = 10
    batch_size: int = 128
    dropout: float = 0.0
    flip: bool = True
    clip_norm: float = 5.0
    precision: str = "float32"
    validate_every: int = 0
    seed: int = 0


def distill(
    training_set: TrainingSet,
    labels: Float64Array,
    backbone: Backbone,
    folder: Path,
    settings: DistillSettings,
    *,
    higher_is_better: bool = True,
    validation: npt.NDArray[np.bool_] | None = None,
    origin: str = "a quality method",
    progress: Callable[[int, Mapping[str, float]], object] = lambda step, values: None,
) -> QualityNetwork:
    """Trains a network with a linear head to give the labels of samples.

    Args:
        training_set: crops.
        labels: float64 [S], such as the scores of a method; NaN leaves a sample out.
        backbone: the network to begin with.
        folder: for log and network.safetensors.
        settings: how.
        higher_is_better: polarity of the labels.
        validation: bool [S], samples that are held out; None: every 20th of those sorted by name,
            as in the released code.
        origin: of the labels, in words, for the file's metadata.
        progress: is told the numbers of some steps.

    Returns:
        The network of the lowest validation loss, in inference mode.

    Raises:
        InvalidArgumentError: labels that do not fit, or nothing to learn or to validate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    usable = np.isfinite(labels)
    held_out = _every_nth(training_set) if validation is None else validation
    learned, held_out = usable & ~held_out, usable & held_out
    if not learned.any() or not held_out.any():
        raise InvalidArgumentError(
            f"train: expected labelled samples to learn and to validate with, got"
            f" {int(learned.sum())} and {int(held_out.sum())} of {len(labels)}; label more samples"
        )
    scaled = np.zeros(len(labels))
    scaled[usable] = scale_labels(labels[usable], higher_is_better=higher_is_better)
    batch = min(settings.batch_size, int(learned.sum()))
    order = _order(~learned, batch, settings.seed, "drop")
    checked = _order(~held_out, min(batch, int(held_out.sum())), 0, "repeat")
    augmentation = Augmentation() if settings.flip else None
    loader = TrainingLoader(training_set, order, labels=scaled, augmentation=augmentation)

    network = QualityNetwork(
        backbone,
        new_head(RegressorHead, backbone),
        dropout=settings.dropout,
        frozen=settings.head_only,
    )
    task = TransferTask(network, seed=settings.seed)
    optimiser = torch.optim.Adam(task.parameter_groups(PAPER_RATES), lr=HEAD_RATE)
    best = _Best(network, lambda: _once(training_set, checked, scaled))
    every = settings.validate_every or order.steps_per_epoch
    with TrainingLog(folder) as log:
        run_training(
            task,
            lambda step: batches_from(loader, order, step, backbone.device),
            optimiser,
            LoopSettings(
                steps=settings.epochs * order.steps_per_epoch,
                schedule=StepSchedule(HEAD_RATE),
                clip_norm=settings.clip_norm,
                precision=settings.precision,
                log_every=every,
                checkpoint_every=0,
                evaluate_every=every,
            ),
            Processes(device=backbone.device),
            None,  # minutes, and the best network so far would have to be kept too
            log,
            [best.validate],
            progress,
        )
    best.restore()
    write_network(network.eval(), folder / NETWORK_FILE, f"distilled from {origin}")
    return network


class _Best:
    """The state with the lowest validation loss."""

    def __init__(self, network: QualityNetwork, batches: Callable[[], Iterator[Batch]]) -> None:
        self._network, self._batches = network, batches
        self._loss, self._state = np.inf, copy.deepcopy(network.state_dict())

    def validate(self, step: int) -> dict[str, float]:
        loss = validation_loss(self._network, self._batches())
        if loss < self._loss:
            self._loss, self._state = loss, copy.deepcopy(self._network.state_dict())
        return {"validation_loss": loss}

    def restore(self) -> None:
        self._network.load_state_dict(self._state)


def _once(training_set: TrainingSet, order: SampleOrder, labels: Float64Array) -> Iterator[Batch]:
    yield from TrainingLoader(training_set, order, labels=labels)


def _order(excluded: npt.NDArray[np.bool_], batch: int, seed: int, last: str) -> SampleOrder:
    return SampleOrder(
        len(excluded),
        batch,
        seed=seed,
        last_batch="repeat" if last == "repeat" else "drop",
        excluded=frozenset(np.flatnonzero(excluded).tolist()),
    )


def _every_nth(training_set: TrainingSet) -> npt.NDArray[np.bool_]:
    """Every 20th sample of those sorted by name."""
    by_name = sorted(range(training_set.count), key=lambda n: training_set.samples[n])
    held_out = np.zeros(training_set.count, dtype=np.bool_)
    held_out[by_name[::_VALIDATION_EVERY]] = True
    return held_out
