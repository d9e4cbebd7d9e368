from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fiqa_fast.errors import ResultsError, UnavailableError
from fiqa_fast.training.log import TrainingLog, read_log


def test_a_log_that_goes_on_has_every_step_once(tmp_path: Path) -> None:
    with TrainingLog(tmp_path) as log:
        log.begin(0)
        for step in range(1, 6):
            log.write(step, {"loss": step / 10, "rate": 1.0})
    path = tmp_path / "log.csv"
    path.write_text(path.read_text() + "6,lo")  # cut off by a kill

    with TrainingLog(tmp_path) as log:
        log.begin(3)
        log.write(4, {"loss": 0.44})

    found = read_log(path)
    assert found["loss"] == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.44)]
    assert [step for step, _ in found["rate"]] == [1, 2, 3]


def test_others_stay_silent(tmp_path: Path) -> None:
    with TrainingLog(tmp_path, writes=False) as log:
        log.begin(0)
        log.write(1, {"loss": 1.0})

    assert not list(tmp_path.iterdir())


def test_tensorboard_gets_the_numbers(tmp_path: Path) -> None:
    with TrainingLog(tmp_path, tensorboard=True) as log:
        log.begin(0)
        log.write(1, {"loss": 0.5})
        log.write(2, {"loss": 0.25})

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 0.5), (2, 0.25)]


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(UnavailableError, match=r"fiqa-fast\[train\]"):
        TrainingLog(tmp_path, tensorboard=True)
    with pytest.raises(UnavailableError, match="pip install mlflow"):
        TrainingLog(tmp_path, mlflow="x")
    with (
        pytest.raises(ResultsError, match="choose another folder"),
        TrainingLog(tmp_path / "absent") as log,
    ):
        log.begin(0)
