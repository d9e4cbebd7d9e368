"""Axes of drawings: where a value stands, and which round values are written beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        label: what it shows.
        low, high: its ends, low < high; above 0 where it is logarithmic.
        log: whether it is.
    """

    label: str
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one; a logarithmic axis holds what is below it."""
        if self.log:
            span = math.log10(self.high / self.low)
            return math.log10(max(value, self.low) / self.low) / span
        return (value - self.low) / (self.high - self.low)

    def ticks(self, about: int) -> list[tuple[float, str]]:
        """Round values on the axis and their texts; a logarithmic axis has powers of ten."""
        if self.log:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            step = max(1, math.ceil((last - first) / about))
            powers = range(last, first - 1, -step)
            return [(10.0**p, _power_text(p)) for p in reversed(powers)]
        values = round_ticks(self.low, self.high, about)
        return list(zip(values, tick_texts(values), strict=True))


def log_axis(label: str, smallest: float, largest: float) -> Axis:
    """A logarithmic axis over whole powers of ten around the values, which are above 0."""
    low, high = math.floor(math.log10(smallest)), math.ceil(math.log10(largest))
    return Axis(label, 10.0**low, 10.0 ** max(high, low + 1), log=True)


def round_ticks(low: float, high: float, about: int, *, whole: bool = False) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between the ends: `about` of them."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    if whole:
        step = max(1.0, round(step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def tick_texts(ticks: list[float]) -> list[str]:
    """As few decimals as tell the ticks apart."""
    largest = max(map(abs, ticks), default=0.0)
    notation = "e" if largest >= 1e6 or 0 < largest < 1e-3 else "f"
    for decimals in range(12):
        texts = [f"{tick:.{decimals}{notation}}" for tick in ticks]
        exact = all(
            math.isclose(float(text), tick, rel_tol=1e-9, abs_tol=1e-12 * largest)
            for text, tick in zip(texts, ticks, strict=True)
        )
        if exact:
            break
    return [text.replace("-", "\N{MINUS SIGN}") for text in texts]


def _power_text(power: int) -> str:
    return f"{10.0**power:.{max(0, -power)}f}" if power >= -4 else f"1e\N{MINUS SIGN}{-power}"
