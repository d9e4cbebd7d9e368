"""Class weights spread over processes: the loss of recognition, and CCS and NNCCS.

Each process has the weights of a contiguous range of classes and computes their logits for the
whole batch, so that only embeddings and a few numbers for each sample travel (X. An et al.,
"Partial FC: Training 10 Million Identities on a Single Machine", 2020). The softmax is exact: every
process adds the exponentials of its classes, and the sums are put together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.class_shards import class_range, positions_in, sample_classes
from fiqa_fast.training.communicator import (
    Communicator,
    communicator_here,
    gather_rows,
    multiply_gradient,
    stack_over_ranks,
    sum_over_ranks,
)
from fiqa_fast.training.draws import check_seed, normal_of_classes
from fiqa_fast.training.losses.margin import Margin, SampleFacts
from fiqa_fast.training.nearest_class import nearest_negative, sum_negatives

_STANDARD_DEVIATION = 0.01
_DRAWN_AT_ONCE = 2**22
_LISTED = 5


@dataclass(frozen=True)
class ClassificationLoss:
    """What a batch says of itself.

    Attributes:
        loss: scalar, the mean over the batches of all processes; the same on each.
        ccs: [B], cosine to the own class, of the samples of this process; without gradient.
        nnccs: [B], highest cosine to another class, likewise.
    """

    loss: Tensor
    ccs: Tensor
    nnccs: Tensor


class ClassWeights(nn.Module):
    """The classes of a recognition loss, of which this process has a share.

    Weights are normalised where they are used. They start as N(0, .01), keyed by seed and class:
    the same for any number of processes. Leave the module out of DistributedDataParallel: each
    process has other classes. All processes must call `forward`, and then `backward` on a loss that
    has `ClassificationLoss.loss` in it with the same factor.

    Args:
        classes: of all processes together.
        dimensions: D, of an embedding.
        margin: the loss.
        seed: of the first weights and of the sampling, 0 <= seed < 2**63.
        sample_rate: below 1: the share of the other classes that takes part in the softmax at each
            step, see `sample_classes`. The gradient of the others is zero, so that an optimiser's
            momentum and weight decay go on for them.
        exact_nnccs: with sampling: search NNCCS among all classes, which costs one matrix product;
            False: among those that take part.
        gradients_are_averaged: the gradients of the network are averaged over the processes
            afterwards, as DistributedDataParallel does. So those of embeddings are multiplied by
            the number of processes: the average is then the gradient of the whole batch's mean.
        communicator: None: all processes of torch.distributed where it runs, else this one alone.
        dtype: float32 or float64.
        block: classes that are computed at a time; None: what suits the device.

    Attributes:
        weight: [classes of this process, D].
        first_class: number of the first of them.
        margin: the loss, with its state.

    Raises:
        InvalidArgumentError: fewer classes than processes, or a value out of its range.
    """

    def __init__(
        self,
        classes: int,
        dimensions: int,
        margin: Margin,
        *,
        seed: int = 0,
        sample_rate: float = 1.0,
        exact_nnccs: bool = False,
        gradients_are_averaged: bool = True,
        communicator: Communicator | None = None,
        dtype: torch.dtype = torch.float32,
        block: int | None = None,
    ) -> None:
        super().__init__()
        _check_options(dimensions, sample_rate, dtype, block)
        check_seed(seed)
        self._communicator = communicator_here() if communicator is None else communicator
        rank, world_size = self._communicator.rank, self._communicator.world_size
        self.classes, self.dimensions, self.margin = classes, dimensions, margin
        self.seed, self.sample_rate, self.exact_nnccs = seed, sample_rate, exact_nnccs
        self.first_class, self._last_class = class_range(classes, world_size, rank)
        self._embedding_factor = world_size if gradients_are_averaged else 1
        self._block = block
        first_weights = torch.empty(self._last_class - self.first_class, dimensions, dtype=dtype)
        at_once = max(_DRAWN_AT_ONCE // dimensions, 1)
        for start in range(0, len(first_weights), at_once):
            part = first_weights[start : start + at_once]
            first = self.first_class + start
            part.copy_(normal_of_classes(seed, first, first + len(part), dimensions))
        self.weight = nn.Parameter(first_weights.mul_(_STANDARD_DEVIATION))

    def forward(self, embeddings: Tensor, labels: Tensor, *, step: int) -> ClassificationLoss:
        """The loss of the batches of all processes together.

        Under autocast, too, everything is computed in the dtype of the weights.

        Args:
            embeddings: [B, D], raw, of this process; float32 (float64 for float64 weights) or
                narrower. All processes have the same B.
            labels: int64 [B], numbers of classes among those of all processes.
            step: of the training; keys draws.

        Raises:
            InvalidArgumentError: wrong shapes, dtypes or labels; embeddings that are not finite or
                zero; no other class among those that were sampled.
        """
        with torch.autocast(self.weight.device.type, enabled=False):
            batch = self._gather(embeddings, labels)
            own = self._own_cosines(batch)
            facts = SampleFacts(step=step, magnitudes=batch.magnitudes)
            margined = self.margin.on_targets(own, facts)
            rows = self._rows(batch, step)
            log_sum, nearest = sum_negatives(
                batch.units,
                self.weight,
                batch.here if rows is None else positions_in(rows, batch.here),
                self.margin.scale,
                hard=margined.hard,
                rows=rows,
                block=self._block,
            )
            nearest = self._communicator.all_max(nearest)
            if rows is not None:
                _check_sample(nearest, self.sample_rate)
                if self.exact_nnccs:
                    nearest = self._nearest(batch)
            log_sums = stack_over_ranks(log_sum, self._communicator)
            surplus = log_sums.logsumexp(0) - self.margin.scale * margined.cosines
            losses = torch.logaddexp(torch.zeros_like(surplus), surplus)
            regulariser = self.margin.regulariser(facts)
            if regulariser is not None:
                losses = losses + regulariser
            return ClassificationLoss(losses.mean(), *batch.share(own, nearest))

    @torch.no_grad()
    def measure(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """CCS and NNCCS among all classes, without any loss: for heads on top of a network.

        Args:
            embeddings: as in `forward`.
            labels: as in `forward`.

        Returns:
            Both [B], of the samples of this process.

        Raises:
            InvalidArgumentError: as in `forward`.
        """
        with torch.autocast(self.weight.device.type, enabled=False):
            batch = self._gather(embeddings, labels)
            return batch.share(self._own_cosines(batch), self._nearest(batch))

    @torch.no_grad()
    def gather_weights(self) -> Tensor:
        """The weights of all classes, [C, D], on every process: for files, and for other numbers of
        processes.
        """
        most = -(-self.classes // self._communicator.world_size)
        padded = self.weight.new_zeros(most, self.dimensions)
        padded[: len(self.weight)] = self.weight
        ranges = [
            class_range(self.classes, self._communicator.world_size, rank)
            for rank in range(self._communicator.world_size)
        ]
        shards = self._communicator.all_gather(padded)
        return torch.cat([s[: b - a] for s, (a, b) in zip(shards, ranges, strict=True)])

    @torch.no_grad()
    def take_weights(self, weights: Tensor) -> None:
        """Takes this process's share of the weights of all classes.

        Raises:
            InvalidArgumentError: they are of another number or size.
        """
        if weights.shape != (self.classes, self.dimensions):
            raise InvalidArgumentError(
                f"train: expected weights of shape [{self.classes}, {self.dimensions}], got"
                f" {list(weights.shape)}; bring those of the same classes and network"
            )
        self.weight.copy_(weights[self.first_class : self._last_class])

    def _gather(self, embeddings: Tensor, labels: Tensor) -> _Batch:
        """The batches of all processes, checked in a way that all see the same error."""
        _check_types(embeddings, labels, self.weight)
        shape = torch.tensor([*embeddings.shape, len(labels)], device=labels.device)
        shapes = [tuple(s.tolist()) for s in self._communicator.all_gather(shape)]
        rows = shapes[0][0]
        if rows == 0 or set(shapes) != {(rows, self.dimensions, rows)}:
            raise InvalidArgumentError(
                f"train: expected embeddings of shape [B, {self.dimensions}] with the same B on all"
                f" processes and for labels, got (B, D, labels) {', '.join(map(str, shapes))};"
                " leave out the last batch if it is smaller"
            )
        embeddings = multiply_gradient(embeddings.to(self.weight.dtype), self._embedding_factor)
        magnitudes = embeddings.norm(dim=1)
        every_label = torch.cat(self._communicator.all_gather(labels))
        every_magnitude = stack_over_ranks(magnitudes, self._communicator).flatten()
        is_known = (every_label >= 0) & (every_label < self.classes)
        is_usable = every_magnitude.isfinite() & (every_magnitude > 0)
        if not bool((is_known & is_usable).all()):
            _refuse(is_known, is_usable, every_label, every_magnitude, self.classes, rows)
        units = gather_rows(embeddings / magnitudes[:, None], self._communicator)
        here = every_label - self.first_class
        here = here.where((here >= 0) & (here < len(self.weight)), -1)
        first = self._communicator.rank * rows
        return _Batch(units, every_magnitude, every_label, here, slice(first, first + rows))

    def _own_cosines(self, batch: _Batch) -> Tensor:
        """[B of all]; the gradient of the weights is sparse, since it touches few classes."""
        samples = (batch.here >= 0).nonzero()[:, 0]
        rows = _RowsOf.apply(self.weight, batch.here[samples])  # type: ignore[no-untyped-call]
        cosines = (batch.units[samples] * nn.functional.normalize(rows)).sum(1)
        own = cosines.new_zeros(len(batch.units)).index_put((samples,), cosines)
        return sum_over_ranks(own, self._communicator)

    def _nearest(self, batch: _Batch) -> Tensor:
        nearest = nearest_negative(batch.units, self.weight, batch.here, block=self._block)
        return self._communicator.all_max(nearest)

    def _rows(self, batch: _Batch, step: int) -> Tensor | None:
        if self.sample_rate == 1:
            return None
        first, last = self.first_class, self._last_class
        rate, seed = self.sample_rate, self.seed
        return sample_classes(batch.labels, first, last, rate=rate, seed=seed, step=step)


@dataclass(frozen=True)
class _Batch:
    """Of all processes: embeddings of length 1 [B, D], lengths, classes, and `here`: the position
    among the classes of this process, or -1. `mine`: the samples of this process.
    """

    units: Tensor
    magnitudes: Tensor
    labels: Tensor
    here: Tensor
    mine: slice

    def share(self, own: Tensor, nearest: Tensor) -> tuple[Tensor, Tensor]:
        """CCS and NNCCS of this process's samples."""
        ccs, nnccs = (values.detach()[self.mine].clamp(-1, 1) for values in (own, nearest))
        return ccs, nnccs


class _RowsOf(torch.autograd.Function):
    """Selected rows. Equal ones are added in a fixed order on the way back, on GPUs too."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.shape = weights.shape
        return weights[rows]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        grad = torch.sparse_coo_tensor(rows[None], grads[0], ctx.shape, check_invariants=False)
        return grad.coalesce(), None


def _check_options(
    dimensions: int, sample_rate: float, dtype: torch.dtype, block: int | None
) -> None:
    if dimensions < 1 or (block is not None and block < 1):
        raise InvalidArgumentError(
            f"train: expected dimensions and block of 1 or more, got {dimensions} and {block}; give"
            " the size of an embedding, and leave block out"
        )
    if not 0 < sample_rate <= 1:
        raise InvalidArgumentError(
            f"train: expected sample_rate above 0 and up to 1, got {sample_rate}; 1 takes all"
            " classes"
        )
    if dtype not in (torch.float32, torch.float64):
        raise InvalidArgumentError(
            f"train: expected dtype torch.float32 or torch.float64 for class weights, got {dtype};"
            " leave it out"
        )


def _check_types(embeddings: Tensor, labels: Tensor, weight: Tensor) -> None:
    fitting = (weight.dtype, torch.float32, torch.float16, torch.bfloat16)
    if embeddings.ndim != 2 or embeddings.dtype not in fitting:
        raise InvalidArgumentError(
            f"train: expected embeddings of shape [B, {weight.shape[1]}] and dtype {weight.dtype}"
            f" or narrower, got {list(embeddings.shape)} and {embeddings.dtype}; pass what the"
            " network made"
        )
    if labels.ndim != 1 or labels.dtype != torch.int64:
        raise InvalidArgumentError(
            f"train: expected labels of shape [B] and dtype torch.int64, got {list(labels.shape)}"
            f" and {labels.dtype}; pass the number of each sample's class"
        )


def _refuse(
    is_known: Tensor,
    is_usable: Tensor,
    labels: Tensor,
    magnitudes: Tensor,
    classes: int,
    rows: int,
) -> None:
    """Says which samples of which process cannot be used."""

    def listed(is_fine: Tensor, values: Tensor) -> str:
        wrong = (~is_fine).nonzero()[:, 0].tolist()
        shown = [
            f"{values[i].item():g} at position {i % rows} of rank {i // rows}"
            for i in wrong[:_LISTED]
        ]
        more = [f"{len(wrong) - _LISTED} more"] if len(wrong) > _LISTED else []
        return ", ".join(shown + more)

    if not bool(is_known.all()):
        raise InvalidArgumentError(
            f"train: expected labels from 0 to {classes - 1}, got {listed(is_known, labels)};"
            " number the identities without gaps"
        )
    raise InvalidArgumentError(
        "train: expected finite embeddings that are not zero, got lengths"
        f" {listed(is_usable, magnitudes)}; lower the learning rate, or look at these images"
    )


def _check_sample(nearest: Tensor, sample_rate: float) -> None:
    if bool((nearest == -torch.inf).any()):
        raise InvalidArgumentError(
            "train: expected another class for every sample among those that take part, got none;"
            f" raise sample_rate above {sample_rate}"
        )
