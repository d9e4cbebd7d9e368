from __future__ import annotations

import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.schedule import StepSchedule


def test_the_rate_falls_at_milestones_and_rises_before() -> None:
    schedule = StepSchedule(0.1, (20, 28), warmup_steps=4)

    rates = [schedule.at(step) for step in (0, 1, 3, 19, 20, 27, 28, 99)]

    assert rates == pytest.approx([0.025, 0.05, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


@pytest.mark.parametrize(("base", "milestones"), [(0.0, ()), (0.1, (5, 3)), (0.1, (3, 3))])
def test_what_is_no_schedule(base: float, milestones: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match="ascending milestones"):
        StepSchedule(base, milestones)
