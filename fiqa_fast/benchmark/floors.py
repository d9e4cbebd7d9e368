"""What the machine can do at best: rates of matrix products and of copies, measured.

A method cannot be faster than its operations at the rate of a large matrix product (torch's, on all
threads), nor than its bytes at the rate of a large copy.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch

from fiqa_fast.backbones.base import PRECISIONS, Backbone
from fiqa_fast.benchmark.measure import timed_s
from fiqa_fast.errors import InvalidArgumentError

RATED = ("float32", "bf16", "int8")
_SIZES = {"cpu": 1024, "cuda": 4096}  # rows; large enough for the full rate
_CALLS = {"cpu": 1, "cuda": 10}  # products of one measurement; the start of one is not its rate
_COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}


@dataclass(frozen=True)
class MachineRates:
    """Measured rates.

    Attributes:
        flops_per_s: operations a second of a matrix product, by precision; those that torch has
            here, of RATED.
        copied_bytes_per_s: bytes read and written a second by a copy.
    """

    flops_per_s: dict[str, float]
    copied_bytes_per_s: float


@dataclass(frozen=True)
class MatrixProduct:
    """A product that takes the machine's time in one precision.

    Attributes:
        run: computes it once; does not wait for the device.
        flops: operations of one run.
    """

    run: Callable[[], None]
    flops: float


def matrix_product(device: torch.device, precision: str) -> MatrixProduct:
    """Makes a product of square matrices: 1024 rows on the CPU, 4096 on CUDA, ten in a run there.

    Args:
        device: where it runs.
        precision: a key of `PRECISIONS`.

    Raises:
        InvalidArgumentError: another precision.
    """
    rows, calls = _SIZES[device.type], _CALLS[device.type]
    flops = 2.0 * rows**3 * calls
    if precision == "int8":
        integers = torch.randint(-9, 10, (rows, rows), dtype=torch.int8, device=device)

        def multiply_integers() -> None:
            for _ in range(calls):
                torch._int_mm(integers, integers)

        return MatrixProduct(multiply_integers, flops)
    if precision not in PRECISIONS:
        raise InvalidArgumentError(
            f"benchmark: expected precision to be one of {', '.join(PRECISIONS)},"
            f" got {precision!r}; choose one of them"
        )
    matrix = torch.randn(rows, rows, device=device).to(PRECISIONS[precision])
    product = torch.empty_like(matrix)

    def multiply() -> None:
        for _ in range(calls):
            torch.mm(matrix, matrix, out=product)

    return MatrixProduct(multiply, flops)


def measure_rates(device: torch.device, repeats: int = 7) -> MachineRates:
    """Measures the rates: medians of `repeats`. It takes under a second."""
    rates = {}
    for precision in RATED:
        try:
            product = matrix_product(device, precision)
            seconds = _median_s(product.run, device, repeats)
        except (RuntimeError, AttributeError):  # torch has no product of integers for this device
            continue
        rates[precision] = product.flops / seconds
    source = torch.ones(_COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    seconds = _median_s(lambda: target.copy_(source), device, repeats)
    return MachineRates(rates, 2 * source.numel() / seconds)


def floor_precision(precision: str, rates: MachineRates) -> str:
    """The precision of the product that a case is held against.

    That of the case; for "auto", which leaves the choice to the package, the fastest floating one.
    """
    if precision != "auto":
        return precision
    floating = {p: rate for p, rate in rates.flops_per_s.items() if p != "int8"}
    return max(floating, key=floating.__getitem__)


def bytes_floor_s(byte_count: float, rates: MachineRates) -> float:
    """Seconds that moving bytes takes at the rate of a copy.

    Args:
        byte_count: bytes that are read or written, each counted once.
        rates: from `measure_rates`.
    """
    return byte_count / rates.copied_bytes_per_s


def weight_bytes(backbone: Backbone) -> int:
    """Bytes of a network's parameters: what a pass must read, whatever the batch."""
    return sum(p.numel() * p.element_size() for p in backbone.parameters())


def _median_s(run: Callable[[], object], device: torch.device, repeats: int) -> float:
    run()
    return statistics.median(timed_s(run, device) for _ in range(repeats))
