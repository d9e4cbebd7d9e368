from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.distribution import Processes
from fiqa_fast.training.log import read_log
from fiqa_fast.training.losses import MARGINS
from fiqa_fast.training.recipe import Recipe
from fiqa_fast.training.train_cr_fiqa import CLASSES_FILE, NETWORK_FILE, train_cr_fiqa
from fiqa_fast.weights.file import read_weights

SCRIPT = Path(__file__).with_name("train_tiny.py")
STEPS = 54


def start(folder: Path, ranks: int = 1) -> list[subprocess.Popen[bytes]]:
    """The processes of a training, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    return [
        subprocess.Popen(
            [sys.executable, SCRIPT, folder, str(STEPS)],
            env={**os.environ, **together, "RANK": str(r), "LOCAL_RANK": str(r)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for r in range(ranks)
    ]


def finish(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()[-3000:]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    finish(start(folder))
    return folder


def losses(folder: Path) -> np.ndarray:
    return np.asarray(read_log(folder / "log.csv")["loss"])


def test_a_small_training_learns(unbroken: Path) -> None:
    found = losses(unbroken)

    assert found[:, 0].tolist() == list(range(1, STEPS + 1))
    assert found[-10:, 1].mean() < 0.8 * found[:10, 1].mean()


def test_two_processes_equal_one(unbroken: Path, tmp_path: Path) -> None:
    finish(start(tmp_path, ranks=2))

    np.testing.assert_allclose(losses(tmp_path)[:, 1], losses(unbroken)[:, 1], rtol=0, atol=1e-5)
    both, one = (read_weights(f / NETWORK_FILE).tensors for f in (tmp_path, unbroken))
    for name, tensor in one.items():
        torch.testing.assert_close(both[name], tensor, rtol=1e-6, atol=1e-8)
    classes = [torch.load(f / CLASSES_FILE, weights_only=True) for f in (tmp_path, unbroken)]
    torch.testing.assert_close(classes[0]["weights"], classes[1]["weights"], rtol=1e-6, atol=1e-8)
    # Each process has half of the classes.
    (checkpoint,) = sorted((tmp_path / "checkpoints").iterdir())[-1:]
    shard = torch.load(checkpoint / "rank-1.pt", weights_only=True)["parts"]["classes"]["weight"]
    assert shard.shape == (6, 16)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_killed_training_goes_on_to_the_same_weights(
    unbroken: Path, tmp_path: Path, ranks: int
) -> None:
    processes = start(tmp_path, ranks)
    deadline = time.monotonic() + 120
    log = tmp_path / "log.csv"
    while not (log.exists() and "\n13," in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    saved = sorted((tmp_path / "checkpoints").iterdir())
    assert 0 < len(saved) < STEPS // 5  # it was in the middle

    finish(start(tmp_path, ranks))

    assert losses(tmp_path)[:, 0].tolist() == list(range(1, STEPS + 1))
    np.testing.assert_allclose(losses(tmp_path)[:, 1], losses(unbroken)[:, 1], rtol=0, atol=1e-5)
    found, expected = (read_weights(f / NETWORK_FILE).tensors for f in (tmp_path, unbroken))
    for name, tensor in expected.items():
        if ranks == 1:
            assert torch.equal(found[name], tensor), name
        else:
            torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-8)


def test_a_finished_training_is_not_done_again(unbroken: Path) -> None:
    before = (unbroken / NETWORK_FILE).read_bytes()

    finish(start(unbroken))

    assert len(losses(unbroken)) == STEPS
    assert (unbroken / NETWORK_FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"margin": "margin"}, "expected margin to be one of arcface, cosface, elastic-arcface"),
        ({"margin": "magface", "margin_size": 0.4}, "expected no margin_size with magface"),
        ({"on_top": True}, "expected class_weights for training on top"),
    ],
)
def test_recipes_that_cannot_be_followed(
    drawn_faces: TrainingSet,
    tiny_backbone: Callable[[], Backbone],
    tmp_path: Path,
    changed: dict[str, object],
    message: str,
) -> None:
    recipe = replace(Recipe(batch_size=8), **changed)

    with pytest.raises(InvalidArgumentError, match=message):
        train_cr_fiqa(drawn_faces, recipe, tmp_path, Processes(), backbone=tiny_backbone())


@pytest.mark.parametrize("margin", MARGINS)
def test_every_margin_can_be_trained_with(
    drawn_faces: TrainingSet, tiny_backbone: Callable[[], Backbone], tmp_path: Path, margin: str
) -> None:
    """And samples that are left out are not seen."""
    seen: list[int] = []

    def read(position: int) -> bytes:
        seen.append(position)
        return drawn_faces.read(position)

    recipe = Recipe(
        margin=margin, epochs=1, batch_size=8, milestone_epochs=(), learning_rate=0.01, log_every=1
    )
    left_out = frozenset({3, 17})

    train_cr_fiqa(
        replace(drawn_faces, read=read), recipe, tmp_path, Processes(),
        backbone=tiny_backbone(), excluded=left_out,
    )  # fmt: skip

    assert np.isfinite(losses(tmp_path)).all()
    assert len(losses(tmp_path)) == 5  # 46 samples, and 6 of them in no whole batch
    assert not left_out & set(seen)
