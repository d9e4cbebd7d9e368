"""The processes that train together: one, or those of torchrun."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: number of this one, from 0.
        count: of all.
        device: that this one computes on.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def wait(self) -> None:
        """For all to come here."""
        if self.count > 1:
            dist.barrier()

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Over the processes, of equal shares of a batch."""
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.count
        return values

    def gather(self, items: list[T]) -> list[T]:
        """The items of all processes, by rank; they are pickled on the way."""
        if self.count == 1:
            return items
        lists: list[list[T]] = [[] for _ in range(self.count)]
        dist.all_gather_object(lists, items)
        return [item for of_rank in lists for item in of_rank]


def join_processes(device: torch.device) -> Processes:
    """Joins those that torchrun has started; without torchrun this process is alone.

    gloo on CPUs, nccl on GPUs, where each process takes the device of its local rank.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(device=device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes(dist.get_rank(), count, device)


def leave_processes() -> None:
    """Ends the group, where there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()
