"""The whole way of the data over a folder of aligned crops, against its scorer alone.

Decoding, checking, batching and writing rows happen beside the scoring: what part of the scorer's
own throughput is left? Both run in turn, round after round, over the same faces.
"""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.pipeline import DEFAULT_BATCH_SIZE, FaceFinder, score_stream
from fiqa_fast.results import ResultsWriter
from fiqa_fast.scorers.registry import create_scorer

GOLDEN = sorted((Path(__file__).parents[2] / "tests" / "golden" / "crops").glob("*.png"))
FACES = 144
ROUNDS = 5
CASES = [
    ("embedding-norm", "bf16"), ("embedding-norm", "float32"), ("ser-fiq", "float32"),
    ("grafiqs", "float32"),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Golden crops, each several times."""
    folder = tmp_path_factory.mktemp("crops")
    for i in range(FACES):
        shutil.copy(GOLDEN[i % len(GOLDEN)], folder / f"{i:03}.png")
    return folder


@pytest.mark.parametrize(("method", "precision"), CASES, ids=[" ".join(case) for case in CASES])
def test_folder_of_crops(
    benchmark: Any, folder: Path, tmp_path: Path, method: str, precision: str
) -> None:
    scorer = create_scorer(method, backbone=load_backbone("sface", precision=precision))
    files = sorted(folder.iterdir())
    crops = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    alone: list[float] = []

    def time_the_scorer() -> None:
        start = time.perf_counter()
        for first in range(0, FACES, DEFAULT_BATCH_SIZE):
            scorer.score(crops[first : first + DEFAULT_BATCH_SIZE])
        alone.append(time.perf_counter() - start)

    def score_folder() -> None:
        with ResultsWriter(tmp_path / "out", {}, "overwrite") as writer:
            for rows in score_stream(files, [scorer], finder=FaceFinder(None)):
                writer.write_image(rows)

    benchmark.pedantic(score_folder, setup=time_the_scorer, rounds=ROUNDS, warmup_rounds=1)
    if benchmark.stats is None:  # --benchmark-disable
        return
    pairs = zip(alone[-ROUNDS:], benchmark.stats.stats.data, strict=True)
    benchmark.extra_info["of_scorer_throughput"] = round(
        statistics.median(a / whole for a, whole in pairs), 3
    )
    benchmark.extra_info["per_face_ms"] = round(
        1e3 * statistics.median(benchmark.stats.stats.data) / FACES, 2
    )
