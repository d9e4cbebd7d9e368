from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

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


class RecordingMlflow:
    """What the log uses of MLflow 3, with its rule for names."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, list[tuple[int, float]]]] = {}
        self.status: dict[str, str] = {}
        self._active = ""

    def set_experiment(self, name: str) -> None:
        self.experiment = name

    def start_run(self, run_id: str | None = None) -> SimpleNamespace:
        self._active = run_id or f"run{len(self.runs)}"
        self.runs.setdefault(self._active, {})
        return SimpleNamespace(info=SimpleNamespace(run_id=self._active))

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            assert re.fullmatch(r"[/\w.\- :]*", name)
            self.runs[self._active].setdefault(name, []).append((step, value))

    def end_run(self, status: str) -> None:
        self.status[self._active] = status


def test_mlflow_gets_the_numbers_of_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = RecordingMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)

    def break_off() -> None:
        with TrainingLog(tmp_path, mlflow="faces") as log:
            log.begin(0)
            log.write(1, {"loss": 0.5, "edc/my faces (a, b)/self": 0.75})
            raise ResultsError("no space")

    with pytest.raises(ResultsError, match="no space"):
        break_off()
    assert mlflow.status == {"run0": "FAILED"}
    with TrainingLog(tmp_path, mlflow="faces") as log:
        log.begin(1)
        log.write(2, {"loss": 0.25})

    assert mlflow.experiment == "faces"
    assert mlflow.runs == {
        "run0": {"loss": [(1, 0.5), (2, 0.25)], "edc/my faces _a_ b_/self": [(1, 0.75)]}
    }
    assert mlflow.status == {"run0": "FINISHED"}
