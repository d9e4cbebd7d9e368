"""Runs a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from fiqa_fast.backbones.registry import resolve_device
from fiqa_fast.benchmark.cases import Group
from fiqa_fast.benchmark.floors import measure_rates
from fiqa_fast.benchmark.machine import describe_machine
from fiqa_fast.benchmark.network_timing import Effort, NetworkTiming
from fiqa_fast.benchmark.networks import NetworkFiles
from fiqa_fast.benchmark.results import BenchmarkResult, CaseResult, NetworkFacts, SkippedCase
from fiqa_fast.errors import FiqaError


def run_benchmark(
    groups: Sequence[Group],
    *,
    weights: Path | None = None,
    device: str = "auto",
    effort: Effort | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> BenchmarkResult:
    """Measures groups of cases one after the other.

    Args:
        groups: from `make_groups`, those of a network behind one another.
        weights: the user's weights file, for all networks.
        device: "auto", "cpu", "cuda" or "cuda:N".
        effort: how long to measure; default: `Effort()`.
        progress: is told what is measured next.

    Returns:
        What could be measured, and what could not.

    Raises:
        FiqaError: nothing could be measured: the first reason.
    """
    effort = effort or Effort()
    where = resolve_device(device)
    progress("rates of the machine")
    rates = measure_rates(where)
    cases: list[CaseResult] = []
    skipped: list[SkippedCase] = []
    facts: dict[str, NetworkFacts] = {}
    first_error: FiqaError | None = None
    with NetworkFiles() as files:
        timing: NetworkTiming | None = None
        for group in groups:
            source = files.find(group.network, weights)
            if timing is None or timing.source != source:
                timing = NetworkTiming(source, where, rates, effort)
                facts[timing.name] = timing.facts()
            progress(f"{group.workload.name} {group.workload.output} on {timing.name}")
            measured, refused = timing.measure(group)
            cases += measured
            skipped += [SkippedCase(key, str(error)) for key, error in refused]
            first_error = first_error or next((error for _, error in refused), None)
    if not cases and first_error is not None:
        raise first_error
    return BenchmarkResult(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe_machine(where),
        rates=rates,
        settings={**asdict(effort), "device": str(where)},
        networks=tuple(facts.values()),
        cases=tuple(cases),
        skipped=tuple(skipped),
    )
