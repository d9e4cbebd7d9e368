"""Learning rates over the steps of a training."""

from __future__ import annotations

from dataclasses import dataclass

from fiqa_fast.errors import InvalidArgumentError


@dataclass(frozen=True)
class StepSchedule:
    """The base rate, divided by ten at each milestone; linear warm-up before.

    Attributes:
        base: the first rate.
        milestones: steps at which it is multiplied by `factor`, ascending.
        factor: see there.
        warmup_steps: over which it rises from 0.
    """

    base: float
    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        if not self.base > 0 or list(self.milestones) != sorted(set(self.milestones)):
            raise InvalidArgumentError(
                "train: expected a learning rate above 0 and ascending milestones, got"
                f" {self.base} and {self.milestones}; CR-FIQA(S) has 0.1 and 20, 28, 32 epochs"
            )

    def at(self, step: int) -> float:
        """The rate of a step, counted from 0."""
        passed = sum(step >= milestone for milestone in self.milestones)
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return self.base * self.factor**passed * warm
