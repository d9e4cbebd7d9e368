"""Paired timing of an operator against its plain twin and against the bandwidth of the machine.

Every benchmark times three things in turn, round after round: the operator, its plain torch twin,
and a plain copy of the same tensor. So a machine that slows down slows all three, and the ratios
hold. The copy gives the floor: the time that moving the operator's bytes alone would take.

pytest-benchmark gets the operator's rounds; the others stand in `extra_info`, from which
benchmarks/summarise.py makes a table. A CUDA device is measured too where there is one.

    pytest benchmarks/ops --benchmark-only --benchmark-json=ops.json
    python benchmarks/summarise.py ops.json
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
ROUNDS = 41
WARM_UP_ROUNDS = 5

# Activations of iresnet50 on a batch of 16 faces: stem, middle, last stage.
SHAPES = ((16, 64, 112, 112), (16, 128, 28, 28), (16, 512, 7, 7))


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["nchw", "channels_last"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SHAPES, ids=lambda s: "x".join(map(str, s)))
def x(request: pytest.FixtureRequest, device: str, dtype: torch.dtype, layout: str) -> Tensor:
    """A random activation."""
    x = torch.randn(request.param, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    return x.contiguous(memory_format=torch.channels_last) if layout == "channels_last" else x


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _median_and_iqr(samples: list[float]) -> dict[str, float]:
    lower, median, upper = statistics.quantiles(samples, n=4)
    return {"median": median, "iqr": upper - lower}


def _machine(device: str) -> dict[str, object]:
    if device == "cuda":
        name = torch.cuda.get_device_name()
    else:
        path = Path("/proc/cpuinfo")
        lines = path.read_text().splitlines() if path.exists() else []
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        name = f"{models[0]}, {len(models)} cores" if models else platform.processor()
    return {"device": name, "torch": torch.__version__, "threads": torch.get_num_threads()}


@pytest.fixture
def compare(benchmark: Any, device: str) -> Callable[..., None]:
    """Returns a function that times an operator, its twin and a copy in turn."""

    def synchronised(call: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            call()
            torch.cuda.synchronize()

        return run if device == "cuda" else call

    def run(
        x: Tensor,
        operator: Callable[[], object],
        twin: Callable[[], object],
        *,
        moved: float,
        allocates: bool,
    ) -> None:
        """Times the three in turn.

        Args:
            x: the operator's input.
            operator: calls the operator.
            twin: calls the plain torch twin.
            moved: bytes that the operator must read and write, in units of the bytes of `x`.
            allocates: the operator returns a tensor like `x`; then the copy allocates its result
                too, for fresh pages cost as much as the copy itself.
        """
        target = torch.empty_like(x)
        others = {
            "twin": synchronised(twin),
            "copy": synchronised(x.clone if allocates else lambda: target.copy_(x)),
        }
        samples: dict[str, list[float]] = {name: [] for name in others}

        def time_the_others() -> None:
            for name, call in others.items():
                samples[name].append(_timed(call))

        # pedantic() calls `setup` before each of its rounds, warm-up included: that pairs them.
        benchmark.pedantic(
            synchronised(operator),
            setup=time_the_others,
            rounds=ROUNDS,
            warmup_rounds=WARM_UP_ROUNDS,
        )
        if benchmark.stats is None:  # --benchmark-disable
            return
        measured = benchmark.stats.stats.data
        twins = samples["twin"][-ROUNDS:]
        floors = [s * moved / 2 for s in samples["copy"][-ROUNDS:]]  # a copy moves 2 units
        benchmark.extra_info.update(
            twin_s=_median_and_iqr(twins),
            floor_s=_median_and_iqr(floors),
            ratio_to_twin=_median_and_iqr([a / b for a, b in zip(measured, twins, strict=True)]),
            ratio_to_floor=_median_and_iqr([a / b for a, b in zip(measured, floors, strict=True)]),
            **_machine(device),
        )

    return run
