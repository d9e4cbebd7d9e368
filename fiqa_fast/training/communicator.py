"""What the processes of a training tell each other about class weights, with gradients.

Gradients need care where each process goes on with what all have. After `gather_rows` the processes
do different things with the same tensor (each has its own classes), so its gradient is the sum of
theirs. After `sum_over_ranks` and `stack_over_ranks` all do the same, and each process already has
the whole gradient.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Communicator(ABC):
    """Exchanges tensors between the processes that share the classes.

    All of them make the same calls in the same order, with tensors of the same shape and dtype.

    Attributes:
        rank: number of this process, from 0.
        world_size: number of processes.
    """

    rank: int
    world_size: int

    @abstractmethod
    def all_gather(self, values: Tensor) -> list[Tensor]:
        """The tensors of all ranks, by rank."""

    @abstractmethod
    def all_sum(self, values: Tensor) -> Tensor:
        """A new tensor: their sum."""

    @abstractmethod
    def all_max(self, values: Tensor) -> Tensor:
        """A new tensor: the highest of each element."""


class SingleProcess(Communicator):
    """One process has all classes."""

    rank, world_size = 0, 1

    def all_gather(self, values: Tensor) -> list[Tensor]:
        """The tensor itself."""
        return [values]

    def all_sum(self, values: Tensor) -> Tensor:
        """A copy."""
        return values.clone()

    def all_max(self, values: Tensor) -> Tensor:
        """A copy."""
        return values.clone()


class ProcessGroup(Communicator):
    """The processes of a group of torch.distributed.

    Args:
        group: None: all processes.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self._group = group
        self.rank, self.world_size = dist.get_rank(group), dist.get_world_size(group)

    def all_gather(self, values: Tensor) -> list[Tensor]:
        """The tensors of all ranks, by rank."""
        gathered = [torch.empty_like(values) for _ in range(self.world_size)]
        dist.all_gather(gathered, values.contiguous(), group=self._group)
        return gathered

    def all_sum(self, values: Tensor) -> Tensor:
        """A new tensor: their sum."""
        return self._reduce(values, dist.ReduceOp.SUM)

    def all_max(self, values: Tensor) -> Tensor:
        """A new tensor: the highest of each element."""
        return self._reduce(values, dist.ReduceOp.MAX)

    def _reduce(self, values: Tensor, how: Any) -> Tensor:
        reduced = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(reduced, how, group=self._group)
        return reduced


def communicator_here() -> Communicator:
    """All processes of torch.distributed where it runs, this process alone where not."""
    return ProcessGroup() if dist.is_available() and dist.is_initialized() else SingleProcess()


def gather_rows(values: Tensor, communicator: Communicator) -> Tensor:
    """The rows of all ranks behind one another, [B, ...] -> [ranks * B, ...].

    The gradient is the sum over the ranks, of which each takes its rows.
    """
    return _GatherRows.apply(values, communicator)  # type: ignore[no-any-return, no-untyped-call]


def sum_over_ranks(values: Tensor, communicator: Communicator) -> Tensor:
    """Their sum, with which all ranks do the same: the gradient is that of each rank."""
    return _SumOverRanks.apply(values, communicator)  # type: ignore[no-any-return, no-untyped-call]


def stack_over_ranks(values: Tensor, communicator: Communicator) -> Tensor:
    """[...] -> [ranks, ...], with which all ranks do the same.

    Each takes its part of the gradient.
    """
    return _StackOverRanks.apply(values, communicator)  # type: ignore[no-any-return, no-untyped-call]


def multiply_gradient(values: Tensor, factor: float) -> Tensor:
    """The values themselves, whose gradient is multiplied on the way back."""
    return _MultiplyGradient.apply(values, factor)  # type: ignore[no-any-return, no-untyped-call]


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, communicator: Communicator) -> Tensor:
        ctx.communicator, ctx.rows = communicator, len(values)
        return torch.cat(communicator.all_gather(values))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        first = ctx.communicator.rank * ctx.rows
        return ctx.communicator.all_sum(grads[0])[first : first + ctx.rows], None


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, communicator: Communicator) -> Tensor:
        return communicator.all_sum(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class _StackOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, communicator: Communicator) -> Tensor:
        ctx.rank = communicator.rank
        return torch.stack(communicator.all_gather(values))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0][ctx.rank], None


class _MultiplyGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None
