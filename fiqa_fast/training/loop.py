"""The steps of a training: forward, back, clip, step; with checkpoints from which it goes on."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fiqa_fast.errors import InvalidArgumentError, ResultsError
from fiqa_fast.training.checkpoint import Checkpoints
from fiqa_fast.training.data.loader import Batch
from fiqa_fast.training.distribution import Processes
from fiqa_fast.training.log import TrainingLog
from fiqa_fast.training.schedule import StepSchedule

PRECISIONS: Mapping[str, torch.dtype | None] = {
    "float64": None,
    "float32": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
"""Of the forward pass (autocast); parameters and their steps are float32. In float64 everything is,
to compare trainings with each other: float32 rounding grows from step to step."""


@dataclass(frozen=True)
class LoopSettings:
    """How the steps are made.

    Attributes:
        steps: all of them.
        schedule: of the learning rate; parameter groups may have a factor of their own, "scale".
        clip_norm: the gradient's norm over the network's parameters is cut off there; None: not.
        precision: of PRECISIONS.
        log_every, checkpoint_every, evaluate_every: steps between; 0: never (but a checkpoint and
            an evaluation at the end).
    """

    steps: int
    schedule: StepSchedule
    clip_norm: float | None = 5.0
    precision: str = "float32"
    log_every: int = 10
    checkpoint_every: int = 1000
    evaluate_every: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.precision not in PRECISIONS:
            raise InvalidArgumentError(
                f"train: expected one step or more in one of {', '.join(PRECISIONS)}, got"
                f" {self.steps} in {self.precision!r}; correct the recipe"
            )


class Task(ABC):
    """What is learned.

    Attributes:
        parts: what checkpoints hold, by name: networks, perhaps the shard of class weights.
    """

    parts: Mapping[str, nn.Module]

    @abstractmethod
    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Of a batch: "loss", which is minimised (of it the gradients are those of the mean over
        the batches of all processes), and what else shall be logged."""

    @abstractmethod
    def clipped(self) -> Iterable[nn.Parameter]:
        """The parameters whose common gradient norm is cut off."""


Hook = Callable[[int], Mapping[str, float]]
"""Is called before the first and after some steps, with their number; its numbers are logged."""


def run_training(
    task: Task,
    batches: Callable[[int], Iterator[Batch]],
    optimiser: torch.optim.Optimizer,
    settings: LoopSettings,
    processes: Processes,
    checkpoints: Checkpoints | None,
    log: TrainingLog,
    hooks: Sequence[Hook] = (),
    progress: Callable[[int, Mapping[str, float]], object] = lambda step, values: None,
) -> None:
    """Trains to the last step; goes on from the last whole checkpoint, where there is one.

    A training that was interrupted and goes on gives the numbers of an unbroken one: batches,
    augmentation and dropout depend on the step, not on what ran before.

    Args:
        task: what is learned.
        batches: from a step on, without an end.
        optimiser: of the task's parameters.
        settings: how.
        processes: that train together.
        checkpoints: where it goes on; None: it always begins anew.
        log: of losses and rates.
        hooks: evaluations.
        progress: is told the numbers of a step.

    Raises:
        ResultsError: a loss is not finite (the message names the step and the samples).
    """
    narrow = PRECISIONS[settings.precision]
    scaler = torch.amp.GradScaler(processes.device.type, enabled=narrow == torch.float16)
    state = None if checkpoints is None else checkpoints.latest()
    step = 0
    if state is not None:
        step = _restore(state, task, optimiser, scaler)
    log.begin(step)
    if step >= settings.steps:
        return
    if step == 0:  # what is to be compared with, and errors before hours are spent
        for hook in hooks:
            log.write(0, hook(0))
    for batch in batches(step):
        rate = settings.schedule.at(step)
        for group in optimiser.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(processes.device.type, narrow, enabled=narrow is not None):
            losses = task.losses(batch, step)
        _check_finite(losses["loss"], step, batch)
        scaler.scale(losses["loss"]).backward()  # type: ignore[no-untyped-call]
        norm = math.nan
        if settings.clip_norm is not None:
            scaler.unscale_(optimiser)  # else the limit would be that of scaled gradients
            norm = float(nn.utils.clip_grad_norm_(task.clipped(), settings.clip_norm))
        scaler.step(optimiser)
        scaler.update()
        step += 1
        is_last = step == settings.steps
        if is_last or _due(step, settings.log_every):
            values = _means(losses, processes) | {"learning_rate": rate}
            if settings.clip_norm is not None:
                values["gradient_norm"] = norm
            log.write(step, values)
            progress(step, values)
        if is_last or _due(step, settings.evaluate_every):
            for hook in hooks:
                log.write(step, hook(step))
        # Behind the evaluations: what they keep (the best network so far) belongs to the step.
        if checkpoints is not None and (is_last or _due(step, settings.checkpoint_every)):
            checkpoints.save(step, _state(step, task, optimiser, scaler))
        if is_last:
            return


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _means(losses: Mapping[str, Tensor], processes: Processes) -> dict[str, float]:
    names = list(losses)
    together = torch.stack([losses[name].detach().double() for name in names])
    return dict(zip(names, processes.mean(together).tolist(), strict=True))


def _check_finite(loss: Tensor, step: int, batch: Batch) -> None:
    if not torch.isfinite(loss):
        raise ResultsError(
            f"train: expected a finite loss, got {loss.item()} in step {step} (samples at the"
            f" positions {batch.positions[:8].tolist()}, ...); lower the learning rate, or look at"
            " these samples; the last checkpoint is kept"
        )


def _state(
    step: int, task: Task, optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler
) -> dict[str, Any]:
    return {
        "step": step,
        "parts": {name: part.state_dict() for name, part in task.parts.items()},
        "optimiser": optimiser.state_dict(),
        "scaler": scaler.state_dict(),
    }


def _restore(
    state: Mapping[str, Any],
    task: Task,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> int:
    for name, part in task.parts.items():
        part.load_state_dict(state["parts"][name])
    optimiser.load_state_dict(state["optimiser"])
    scaler.load_state_dict(state["scaler"])
    return int(state["step"])
