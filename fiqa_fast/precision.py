"""Which arithmetic is exact enough for which method on which network: a published bound, as data.

`precision_errors.json` holds what `benchmarks/accuracy/measure_precision.py` measured: for each
network, method, output and precision the rank correlation with float32 over the example ladder, and
the largest relative difference. A precision is within the bound where that correlation is at least
SPEARMAN_BOUND for every output of the method on every network of the family that was measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

SPEARMAN_BOUND = 0.999
_FILE = Path(__file__).with_name("precision_errors.json")


@dataclass(frozen=True)
class PrecisionError:
    """One measured row.

    Attributes:
        network: name of the network.
        method: name of the method.
        output: of the method.
        precision: of the network, compared with float32.
        spearman: rank correlation of the scores with those in float32.
        max_relative: largest |score / score in float32 - 1|.
        median_relative: the median of it.
        crops: how many were scored.
    """

    network: str
    method: str
    output: str
    precision: str
    spearman: float
    max_relative: float
    median_relative: float
    crops: int


@cache
def measured_errors() -> tuple[PrecisionError, ...]:
    """What was measured, in the order of the file."""
    return tuple(PrecisionError(**row) for row in json.loads(_FILE.read_text())["rows"])


def is_within_bound(method: str, network: str, precision: str) -> bool:
    """Whether a method was measured to keep its order in a precision, on that kind of network."""
    rows = [
        row
        for row in measured_errors()
        if (row.method, row.precision) == (method, precision)
        and _family(row.network) == _family(network)
    ]
    return bool(rows) and all(row.spearman >= SPEARMAN_BOUND for row in rows)


def fastest_precision(methods: Iterable[str], network: str, device: torch.device) -> str:
    """The precision "auto" stands for: bf16 where it is fast and within the bound, else float32.

    Args:
        methods: names of the methods that will run on the network; none: float32.
        network: its name.
        device: where it will run.
    """
    names = list(methods)
    if not names or not _multiplies_bf16(device):
        return "float32"
    within = all(is_within_bound(name, network, "bf16") for name in names)
    return "bf16" if within else "float32"


def _family(network: str) -> str:
    """Networks of the same layers: whatever stands in front of or behind "iresnet" in the name."""
    return "iresnet" if "iresnet" in network else network


def _multiplies_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
