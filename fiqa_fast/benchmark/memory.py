"""How much memory a case needs at its peak."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import torch

from fiqa_fast.benchmark.measure import Call, synchronise
from fiqa_fast.errors import UnavailableError

_MIB = 2**20


def cuda_peak_mib(call: Call, device: torch.device) -> float:
    """High-water mark of torch's allocator during a call, in MiB, the network included."""
    synchronise(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    synchronise(device)
    return torch.cuda.max_memory_allocated(device) / _MIB


def process_peak_mib(case: dict[str, Any]) -> float:
    """High-water mark of a fresh process that loads a network and scores one batch, in MiB.

    Args:
        case: what `fiqa_fast.benchmark.memory_probe` reads: network, weights, precision, scorers,
            output, options, engine, batch_size, threads.

    Raises:
        UnavailableError: the process failed; its last line says why.
    """
    command = [sys.executable, "-m", "fiqa_fast.benchmark.memory_probe", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UnavailableError(
            f"benchmark: expected a process that scores a batch, got exit status"
            f" {done.returncode} ({last}); leave out --memory"
        )
    return float(done.stdout.strip().splitlines()[-1])
