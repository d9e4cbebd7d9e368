"""Paired timing: everything that is compared runs in turn, round after round.

A machine that slows down slows all of a round, so that the rounds' ratios hold where times do not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

Call = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """Median and interquartile range of some samples.

    Attributes:
        median: of the samples.
        iqr: between the quartiles; None for a single sample, which shows no spread.
    """

    median: float
    iqr: float | None


@dataclass(frozen=True)
class Latency:
    """How long single calls took, in ms. What too few calls cannot tell is None.

    Attributes:
        p50_ms: median.
        p90_ms: from 10 calls on.
        p99_ms: from 100 calls on.
        calls: how many were timed.
    """

    p50_ms: float
    p90_ms: float | None
    p99_ms: float | None
    calls: int


def synchronise(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed_s(call: Call, device: torch.device) -> float:
    """Seconds that a call takes, until the device is done."""
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def in_turn(
    calls: Mapping[str, Call],
    device: torch.device,
    *,
    rounds: int,
    budget_s: float,
    after_round: Call = lambda: None,
) -> dict[str, list[float]]:
    """Times calls in turn.

    The first round warms up and does not count, unless it alone takes a third of the budget: calls
    that long hardly notice, and would leave no time for another round. At least one round counts.

    Args:
        calls: what to time, by name, in the order of a round.
        device: where they compute.
        rounds: at most so many.
        budget_s: no further round is begun that would, as long as the last one, end later.
        after_round: is called after every round, outside what is timed.

    Returns:
        For each name the seconds in each round, the same number for all.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    begin = time.perf_counter()

    def one_round() -> float:
        start = time.perf_counter()
        for name, call in calls.items():
            samples[name].append(timed_s(call, device))
        after_round()
        return time.perf_counter() - start

    last_s = one_round()
    done = 1
    if last_s < budget_s / 3:
        for times in samples.values():
            times.clear()
        last_s, done = one_round(), 1
    while done < rounds and time.perf_counter() - begin + last_s <= budget_s:
        last_s, done = one_round(), done + 1
    return samples


def spread(samples: Sequence[float]) -> Spread:
    """Median and interquartile range of at least one sample."""
    if len(samples) < 2:
        return Spread(samples[0], None)
    lower, median, upper = statistics.quantiles(samples, n=4, method="inclusive")
    return Spread(median, upper - lower)


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Of the ratios within each round."""
    return spread([a / b for a, b in zip(numerators, denominators, strict=True)])


def measure_latency(call: Call, device: torch.device, *, calls: int, budget_s: float) -> Latency:
    """Times single calls one after the other, at most `calls` and for about `budget_s`."""
    seconds: list[float] = []
    begin = time.perf_counter()
    while len(seconds) < calls and (not seconds or time.perf_counter() - begin < budget_s):
        seconds.append(timed_s(call, device))
    return latency(seconds)


def latency(seconds: Sequence[float]) -> Latency:
    """Percentiles of at least one call; each is a time that was really seen (nearest rank)."""
    ordered = sorted(seconds)

    def percentile_ms(percent: int) -> float:
        rank = -(-percent * len(ordered) // 100)  # rounded up
        return 1e3 * ordered[rank - 1]

    return Latency(
        percentile_ms(50),
        percentile_ms(90) if len(ordered) >= 10 else None,
        percentile_ms(99) if len(ordered) >= 100 else None,
        len(ordered),
    )
