"""Which machine a result is of."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from fiqa_fast.benchmark.nvml import GpuState, Nvml
from fiqa_fast.version import __version__

_CPU_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """What decides how fast something is.

    Attributes:
        cpu: the model's name.
        cores: that the system offers.
        cpu_flags: of the instruction sets that convolutions use, those that are there.
        memory_gib: of the machine; None where the system does not tell.
        system: kernel and architecture.
        python: version.
        torch: version.
        fiqa_fast: version.
        threads: that torch uses unless told otherwise.
        gpu: the CUDA device of the run; None on the CPU.
    """

    cpu: str
    cores: int
    cpu_flags: tuple[str, ...]
    memory_gib: float | None
    system: str
    python: str
    torch: str
    fiqa_fast: str
    threads: int
    gpu: GpuState | None


def describe_machine(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> Machine:
    """Describes this machine, for a run on `device`.

    Args:
        device: where the run computes.
        cpuinfo: where Linux tells about the processor.
    """
    model, flags = _processor(cpuinfo)
    return Machine(
        cpu=model,
        cores=os.cpu_count() or 1,
        cpu_flags=flags,
        memory_gib=_memory_gib(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        torch=torch.__version__,
        fiqa_fast=__version__,
        threads=torch.get_num_threads(),
        gpu=Nvml(device).state() if device.type == "cuda" else None,
    )


def _processor(cpuinfo: Path) -> tuple[str, tuple[str, ...]]:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown", ()
    facts: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = set(facts.get("flags", "").split())
    return facts.get("model name", "unknown"), tuple(f for f in _CPU_FLAGS if f in flags)


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None
