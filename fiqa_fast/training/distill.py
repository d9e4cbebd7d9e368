"""Distilling any quality method into one forward pass: its scores become labels of a regressor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.layers.heads import RegressorHead
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.checkpoint import Checkpoints
from fiqa_fast.training.data.augment import Augmentation
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.loader import Batch, TrainingLoader
from fiqa_fast.training.data.order import SampleOrder
from fiqa_fast.training.distribution import Processes
from fiqa_fast.training.log import TrainingLog
from fiqa_fast.training.loop import Hook, LoopSettings, run_training
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
_PRECISIONS = ("float32", "bf16", "fp16")


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
        checkpoint_every: steps between checkpoints, from which an interrupted training goes on.
        seed: of everything.

    Raises:
        InvalidArgumentError: a value that is none of those.
    """

    head_only: bool = False
    epochs: int = 10
    batch_size: int = 128
    dropout: float = 0.0
    flip: bool = True
    clip_norm: float = 5.0
    precision: str = "float32"
    validate_every: int = 0
    checkpoint_every: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.precision not in _PRECISIONS:
            raise InvalidArgumentError(
                f"train: expected precision to be one of {', '.join(_PRECISIONS)}, got"
                f" {self.precision!r}; float32 is the reference"
            )
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InvalidArgumentError(
                    f"train: expected {name} of 1 or more, got {getattr(self, name)}; correct it"
                )


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
    hooks: Callable[[QualityNetwork], Sequence[Hook]] = lambda network: (),
    progress: Callable[[int, Mapping[str, float]], object] = lambda step, values: None,
) -> QualityNetwork:
    """Trains a network with a linear head to give the labels of samples.

    An interrupted training goes on from the last checkpoint in the folder, to the same network.

    Args:
        training_set: crops.
        labels: float64 [S], such as the scores of a method; NaN leaves a sample out.
        backbone: the network to begin with.
        folder: for checkpoints, log and network.safetensors.
        settings: how.
        higher_is_better: polarity of the labels.
        validation: bool [S], samples that are held out; None: every 20th of those sorted by name,
            as in the released code.
        origin: of the labels, in words, for the file's metadata.
        hooks: makes evaluations of the network, which come with each validation.
        progress: is told the numbers of some steps.

    Returns:
        The network of the lowest validation loss, in inference mode.

    Raises:
        InvalidArgumentError: labels that do not fit, or nothing to learn or to validate.
        ResultsError: the folder cannot be used, or a loss is not finite.
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
    network.to(backbone.device)

    def validated() -> Iterator[Batch]:
        for batch in TrainingLoader(training_set, checked, labels=scaled):
            yield batch.to(backbone.device)

    best = _Best(network, validated)
    task = TransferTask(network, seed=settings.seed, best=best)
    optimiser = torch.optim.Adam(task.parameter_groups(PAPER_RATES), lr=HEAD_RATE)
    every = settings.validate_every or order.steps_per_epoch
    processes = Processes(device=backbone.device)
    decisive = _decisive(settings, backbone, scaled) | {"orders": order.digest + checked.digest}
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
                checkpoint_every=settings.checkpoint_every,
                evaluate_every=every,
            ),
            processes,
            Checkpoints(folder / "checkpoints", processes, decisive),
            log,
            [best.validate, *hooks(network)],
            progress,
        )
    best.restore()
    write_network(network.eval(), folder / NETWORK_FILE, f"distilled from {origin}")
    return network


class _Best(nn.Module):
    """The state with the lowest validation loss. A module, so that checkpoints hold it."""

    def __init__(self, network: QualityNetwork, batches: Callable[[], Iterator[Batch]]) -> None:
        super().__init__()
        self._of = (network,)  # not a part of this one
        self._batches = batches
        self._loss, self._state = float("inf"), _copied(network)

    def validate(self, step: int) -> dict[str, float]:
        (network,) = self._of
        loss = validation_loss(network, self._batches())
        if loss < self._loss:
            self._loss, self._state = loss, _copied(network)
        return {"validation_loss": loss}

    def restore(self) -> None:
        self._of[0].load_state_dict(self._state)

    def get_extra_state(self) -> dict[str, Any]:
        return {"loss": self._loss, "state": self._state}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self._loss, self._state = state["loss"], state["state"]


def _copied(network: QualityNetwork) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _decisive(
    settings: DistillSettings, backbone: Backbone, labels: Float64Array
) -> dict[str, object]:
    """What decides the numbers, beside the order of the samples."""
    chosen = {name: value for name, value in asdict(settings).items() if name != "checkpoint_every"}
    return {
        **chosen,
        "network": [backbone.spec.name, backbone.weights_sha256],
        "labels": hashlib.sha256(labels.tobytes()).hexdigest()[:16],
    }


def _order(
    excluded: npt.NDArray[np.bool_], batch: int, seed: int, last: Literal["drop", "repeat"]
) -> SampleOrder:
    return SampleOrder(
        len(excluded),
        batch,
        seed=seed,
        last_batch=last,
        excluded=frozenset(np.flatnonzero(excluded).tolist()),
    )


def _every_nth(training_set: TrainingSet) -> npt.NDArray[np.bool_]:
    """Every 20th sample of those sorted by name."""
    by_name = sorted(range(training_set.count), key=lambda n: training_set.samples[n])
    held_out = np.zeros(training_set.count, dtype=np.bool_)
    held_out[by_name[::_VALIDATION_EVERY]] = True
    return held_out
