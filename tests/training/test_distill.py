from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.errors import InvalidArgumentError, ResultsError
from fiqa_fast.ranks import correlate_ranks
from fiqa_fast.scorers.registry import create_scorer
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.crops import read_crop
from fiqa_fast.training.distill import DistillSettings, distill
from fiqa_fast.training.log import read_log
from fiqa_fast.training.train_cr_fiqa import NETWORK_FILE
from fiqa_fast.weights.file import read_weights


@pytest.fixture(scope="module")
def crops(drawn_faces: TrainingSet) -> np.ndarray:
    return np.stack([read_crop(drawn_faces, n, "resize") for n in range(drawn_faces.count)])


def brightness(crops: np.ndarray) -> np.ndarray:
    return crops.mean((1, 2, 3))


def test_a_network_learns_another_methods_scores(
    drawn_faces: TrainingSet,
    crops: np.ndarray,
    tiny_backbone: Callable[[], Backbone],
    tmp_path: Path,
) -> None:
    held_out = np.arange(drawn_faces.count) % 4 == 3
    settings = DistillSettings(epochs=80, batch_size=12)

    network = distill(
        drawn_faces, -brightness(crops), tiny_backbone(), tmp_path, settings,
        higher_is_better=False, validation=held_out,
    )  # fmt: skip

    with torch.no_grad():
        given = torch.from_numpy(crops.transpose(0, 3, 1, 2).copy())
        quality = network(given)[1].double().numpy()
    agreement = correlate_ranks(quality[held_out], brightness(crops)[held_out])
    assert agreement is not None
    assert agreement > 0.7
    losses = [value for _, value in read_log(tmp_path / "log.csv")["validation_loss"]]
    assert min(losses) < losses[0]


def test_the_result_is_a_scorer(
    drawn_faces: TrainingSet, crops: np.ndarray, tmp_path: Path
) -> None:
    from fiqa_fast.backbones.registry import load_backbone

    settings = DistillSettings(head_only=True, epochs=1, batch_size=16)
    backbone = load_backbone("sface")

    network = distill(drawn_faces, brightness(crops), backbone, tmp_path, settings)

    path = tmp_path / "network.safetensors"
    scorer = create_scorer("label-regressor", weights=path, precision="float32")
    with torch.no_grad():
        expected = network(torch.from_numpy(crops[:4].transpose(0, 3, 1, 2).copy()))[1]
    torch.testing.assert_close(scorer.score(crops[:4]), expected, rtol=1e-3, atol=1e-4)
    # The network itself stayed as it was: same embeddings as the packaged one.
    norm = create_scorer("embedding-norm", weights=path, precision="float32")
    packaged = create_scorer("embedding-norm", backbone="sface")
    torch.testing.assert_close(norm.score(crops[:4]), packaged.score(crops[:4]))


class KilledError(Exception):
    """In the place of a kill."""


def test_an_interrupted_training_goes_on_to_the_same_network(
    drawn_faces: TrainingSet,
    crops: np.ndarray,
    tiny_backbone: Callable[[], Backbone],
    tmp_path: Path,
) -> None:
    settings = DistillSettings(
        epochs=6, batch_size=12, dropout=0.2, validate_every=2, checkpoint_every=4
    )

    def run(folder: Path, last: int = 1000) -> Path:
        def progress(step: int, values: Mapping[str, float]) -> None:
            if step > last:
                raise KilledError

        labels = brightness(crops)
        distill(drawn_faces, labels, tiny_backbone(), folder, settings, progress=progress)
        return folder

    whole = run(tmp_path / "whole")
    # KilledError behind the step 10: on from step 8, with the best network until there.
    with pytest.raises(KilledError):
        run(tmp_path / "broken", last=8)
    assert sorted(f.name for f in (tmp_path / "broken" / "checkpoints").iterdir()) == [
        "step-000000004",
        "step-000000008",
    ]

    broken = run(tmp_path / "broken")

    assert read_log(broken / "log.csv") == read_log(whole / "log.csv")
    found, expected = (read_weights(f / NETWORK_FILE).tensors for f in (broken, whole))
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    # Done already: nothing is trained again, and the best network is written, not the last.
    (whole / NETWORK_FILE).unlink()
    run(whole, last=-1)
    for name, tensor in read_weights(whole / NETWORK_FILE).tensors.items():
        assert torch.equal(tensor, expected[name]), name
    with pytest.raises(ResultsError, match="others for labels"):
        distill(drawn_faces, -brightness(crops), tiny_backbone(), whole, settings)


def test_labels_that_cannot_be_learned(
    drawn_faces: TrainingSet, tiny_backbone: Callable[[], Backbone], tmp_path: Path
) -> None:
    nothing = np.full(drawn_faces.count, np.nan)

    with pytest.raises(InvalidArgumentError, match="got 0 and 0 of 48; label more samples"):
        distill(drawn_faces, nothing, tiny_backbone(), tmp_path, DistillSettings())
