"""align_crop against cv2.warpAffine: crops of 112 x 112 out of one photograph.

    pytest benchmarks/images --benchmark-only -s

What pytest-benchmark records is the package's own time. The comparison is paired: in every round
all ways run one after the other, so that a disturbance of the machine hits all of them; their
medians stand in `extra_info` and are printed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fiqa_fast import _extension
from fiqa_fast.images.align import align_crop
from fiqa_fast.types import CROP_SIZE_PX, Float64Array, UInt8Array

pytestmark = pytest.mark.skipif(not _extension.is_available(), reason="needs the extension")

ROUNDS = 300
WARM_UP_ROUNDS = 10


@pytest.fixture
def opencv_threads() -> Iterator[int]:
    """OpenCV's default number of threads, restored afterwards."""
    default = cv2.getNumThreads()
    yield default
    cv2.setNumThreads(default)


def photograph(height: int, width: int) -> UInt8Array:
    blocks = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    return np.asarray(cv2.resize(blocks, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def face_matrices(height: int, width: int, count: int) -> Float64Array:
    """Faces of 190 to 560 px, turned by up to 17 degrees, anywhere in the middle."""
    rng = np.random.default_rng(1)
    scale = rng.uniform(0.2, 0.6, count)
    angle = rng.uniform(-0.3, 0.3, count)
    x, y = rng.uniform(0.3, 0.7, (2, count)) * [[width], [height]]
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    rows = [cos, -sin, 56 - cos * x + sin * y, sin, cos, 56 - sin * x - cos * y]
    return np.stack(rows, axis=-1).reshape(count, 2, 3)


def paired_medians_us(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_index in range(-WARM_UP_ROUNDS, ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if round_index >= 0:
                times[name].append(time.perf_counter() - start)
    return {name: round(statistics.median(values) * 1e6, 1) for name, values in times.items()}


@pytest.mark.parametrize(
    ("height", "width", "faces"), [(1024, 1024, 1), (3000, 4000, 16)], ids=["1-face", "16-faces"]
)
def test_align_crop(
    benchmark: BenchmarkFixture, opencv_threads: int, height: int, width: int, faces: int
) -> None:
    pixels = photograph(height, width)
    matrices = face_matrices(height, width, faces)

    def opencv() -> object:
        size = (CROP_SIZE_PX, CROP_SIZE_PX)
        return [cv2.warpAffine(pixels, matrix, size) for matrix in matrices]

    def one_thread() -> object:
        assert _extension.host is not None
        return _extension.host.align_crop(pixels, matrices, CROP_SIZE_PX, 1)

    def automatic() -> object:
        return align_crop(pixels, matrices)

    medians = {}
    for threads in (1, opencv_threads):
        # Outside of the rounds: a change makes OpenCV start its threads anew.
        cv2.setNumThreads(threads)
        ways = {"opencv": opencv, "align_crop, 1 thread": one_thread, "align_crop": automatic}
        medians[f"opencv with {threads} thread(s)"] = paired_medians_us(ways)
    benchmark.extra_info["paired_medians_us"] = medians
    for setting, times in medians.items():
        print(f"\n{faces} of {width} x {height}, {setting}: {times} us")
    benchmark(automatic)
