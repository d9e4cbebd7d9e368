"""Batches for a training: read, decoded and augmented by threads ahead of it.

Threads and not processes: OpenCV decodes without Python's lock, which is more than half of the
0.2 ms that a crop costs a core, and no batch has to be carried from process to process. The rest
bounds one process to some 10,000 crops a second.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fiqa_fast.errors import ImageError, InvalidArgumentError
from fiqa_fast.training.data.augment import Augmentation
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.checks import check_labels
from fiqa_fast.training.data.crops import OtherSizes, read_crop
from fiqa_fast.training.data.order import SampleOrder
from fiqa_fast.types import CROP_SIZE_PX, Float32Array
from fiqa_fast.work_ahead import work_ahead

_BATCHES_WAITING = 2


@dataclass(frozen=True)
class Batch:
    """What one process works on in one step.

    Attributes:
        images: uint8 [B, 3, 112, 112], RGB, contiguous.
        identity: int64 [B]: numbers of the persons.
        labels: float32 [B]; None in a training without labels.
        positions: int64 [B]: of the samples in the training set.
    """

    images: Tensor
    identity: Tensor
    labels: Tensor | None
    positions: Tensor

    def to(self, device: torch.device) -> Batch:
        """On a device; the positions stay, since no network needs them."""
        return replace(
            self,
            images=self.images.to(device),
            identity=self.identity.to(device),
            labels=None if self.labels is None else self.labels.to(device),
        )


@dataclass(frozen=True)
class LoaderState:
    """What comes next, for a checkpoint; plain values.

    Attributes:
        epoch: from 0.
        step: of the epoch, from 0.
        order: `SampleOrder.digest`.
    """

    epoch: int
    step: int
    order: str


class TrainingLoader:
    """Iterates over the rest of an epoch; the next iteration is over the next epoch.

    Within the loop `state` already names the batch behind the one in hand, so that it belongs into
    the checkpoint that is written after the step.

    An unreadable image is an error, and never another image in its place: `find_unreadable` finds
    them beforehand, and `SampleOrder(excluded=...)` leaves them out of every epoch.

    Args:
        training_set: the samples.
        order: which of them come when.
        augmentation: what is done to crops; None: nothing.
        labels: float32 [S]: a number for each sample, that batches shall carry.
        other_sizes: what to do about images that are not 112 x 112.
        threads: None: one for each core.

    Raises:
        InvalidArgumentError: an order for another number of samples; labels of another length, or
            not finite.

    Example:
        >>> while loader.state.epoch < epochs:  # doctest: +SKIP
        ...     for batch in loader:
        ...         train(batch)
        ...         save_checkpoint(loader.state)
    """

    def __init__(
        self,
        training_set: TrainingSet,
        order: SampleOrder,
        *,
        augmentation: Augmentation | None = None,
        labels: npt.ArrayLike | None = None,
        other_sizes: OtherSizes = "resize",
        threads: int | None = None,
    ) -> None:
        if order.count != training_set.count:
            raise InvalidArgumentError(
                f"loader: expected an order of the {training_set.count} samples of"
                f" {training_set.name}, got one of {order.count}; make it for this set"
            )
        self._set, self._order = training_set, order
        self._augmentation = augmentation
        self._labels: Float32Array | None = None
        if labels is not None:
            self._labels = check_labels(training_set, labels)
        self._other_sizes, self._threads = other_sizes, threads
        self._epoch, self._step = 0, 0

    @property
    def state(self) -> LoaderState:
        """Of the next batch. May be set, to go on where another loader was."""
        return LoaderState(self._epoch, self._step, self._order.digest)

    @state.setter
    def state(self, state: LoaderState) -> None:
        if state.order != self._order.digest:
            raise InvalidArgumentError(
                f"loader: expected a state of this order ({self._order.digest}), got one of another"
                f" ({state.order}): training set, batch, seed or excluded samples changed; go on"
                " with the settings of before, or start anew"
            )
        if state.epoch < 0 or not 0 <= state.step < self._order.steps_per_epoch:
            raise InvalidArgumentError(
                f"loader: expected a step below {self._order.steps_per_epoch}, got step"
                f" {state.step} of epoch {state.epoch}; the checkpoint is damaged"
            )
        self._epoch, self._step = state.epoch, state.step

    def __iter__(self) -> Generator[Batch]:
        epoch = self._epoch
        batches = work_ahead(
            lambda positions: self._load(positions, epoch),
            self._order.batches(epoch, self._step),
            waiting=_BATCHES_WAITING,
            threads=self._threads,
        )
        try:
            for batch in batches:
                self._step += 1
                if self._step == self._order.steps_per_epoch:
                    self._epoch, self._step = epoch + 1, 0
                yield batch
        finally:
            batches.close()

    def _load(self, positions: npt.NDArray[np.int64], epoch: int) -> Batch:
        crops = np.empty((len(positions), CROP_SIZE_PX, CROP_SIZE_PX, 3), np.uint8)
        for crop, position in zip(crops, positions, strict=True):
            try:
                crop[:] = read_crop(self._set, int(position), self._other_sizes)
            except ImageError as error:
                raise ImageError(
                    error.reason,
                    f"{error} (position {position}); find all unreadable samples beforehand, and"
                    " exclude them",
                ) from error
        if self._augmentation is not None:
            self._augmentation.apply(crops, positions, seed=self._order.seed, epoch=epoch)
        images = np.ascontiguousarray(crops.transpose(0, 3, 1, 2))
        labels = self._labels
        return Batch(
            images=torch.from_numpy(images),
            identity=torch.from_numpy(self._set.identity[positions].astype(np.int64)),
            labels=None if labels is None else torch.from_numpy(labels[positions]),
            positions=torch.from_numpy(positions),
        )
