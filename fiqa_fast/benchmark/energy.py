"""How much energy a call takes on a GPU."""

from __future__ import annotations

import time

import torch

from fiqa_fast.benchmark.measure import Call, synchronise
from fiqa_fast.benchmark.nvml import Nvml


def measure_energy_j(
    call: Call, device: torch.device, nvml: Nvml, *, at_least_s: float = 1.0
) -> float | None:
    """Joules of one call, the board's idle power included.

    The call is repeated for `at_least_s`, since the driver's counter moves in steps.

    Returns:
        None where the driver does not count energy.
    """
    synchronise(device)
    before = nvml.energy_j()
    if before is None:
        return None
    begin = time.perf_counter()
    calls = 0
    while not calls or time.perf_counter() - begin < at_least_s:
        call()
        synchronise(device)
        calls += 1
    after = nvml.energy_j()
    return None if after is None else (after - before) / calls
