from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fiqa_fast.errors import ResultsError
from fiqa_fast.training import checkpoint
from fiqa_fast.training.checkpoint import Checkpoints
from fiqa_fast.training.distribution import Processes

ALONE = Processes()


def state(value: float) -> dict[str, object]:
    return {"weights": torch.full((3,), value), "step": int(value), "names": ["a"]}


def test_the_latest_is_found_and_old_ones_go(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", ALONE, {"seed": 1})
    assert checkpoints.latest() is None

    for step in (1, 2, 3, 10):
        checkpoints.save(step, state(step))

    found = Checkpoints(tmp_path / "c", ALONE, {"seed": 1}).latest()
    assert found is not None
    assert found["step"] == 10
    assert torch.equal(found["weights"], torch.full((3,), 10.0))
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == [
        "step-000000003",
        "step-000000010",
    ]


@pytest.mark.parametrize("killed_after", range(8))
def test_a_kill_at_any_moment_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    checkpoints = Checkpoints(tmp_path, ALONE, {})
    checkpoints.save(1, state(1))
    calls = iter(range(100))
    real = checkpoint.os.fsync

    def kill(descriptor: int) -> None:
        if next(calls) == killed_after:
            raise KeyboardInterrupt  # stands for the process that is gone
        real(descriptor)

    monkeypatch.setattr(checkpoint.os, "fsync", kill)
    try:
        checkpoints.save(2, state(2))
        finished = True
    except KeyboardInterrupt:
        finished = False
    monkeypatch.undo()

    found = Checkpoints(tmp_path, ALONE, {}).latest()

    assert found is not None
    assert found["step"] == 2 if finished else found["step"] in (1, 2)
    assert torch.equal(found["weights"], torch.full((3,), float(found["step"])))
    Checkpoints(tmp_path, ALONE, {}).save(3, state(3))  # over what the kill left
    assert Checkpoints(tmp_path, ALONE, {}).latest()["step"] == 3  # type: ignore[index]


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    Checkpoints(tmp_path, ALONE, {"seed": 1, "lambda": 10}).save(1, state(1))

    with pytest.raises(ResultsError, match="got others for seed; use the same"):
        Checkpoints(tmp_path, ALONE, {"seed": 2, "lambda": 10}).latest()


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    Checkpoints(tmp_path, ALONE, {}).save(1, state(1))
    (tmp_path / "step-000000001" / "rank-0.pt").write_bytes(b"PK\x03\x04 nothing")

    with pytest.raises(ResultsError, match="remove this folder"):
        Checkpoints(tmp_path, ALONE, {}).latest()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ResultsError, match="expected to be able to write"):
        Checkpoints(tmp_path / "file", ALONE, {}).save(1, state(1))
