"""A benchmark's results, and the JSON file that keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fiqa_fast.benchmark.floors import MachineRates
from fiqa_fast.benchmark.machine import Machine
from fiqa_fast.benchmark.measure import Latency, Spread
from fiqa_fast.benchmark.nvml import GpuState
from fiqa_fast.errors import ResultsError
from fiqa_fast.whole_file import write_whole

SCHEMA_VERSION = 1
_DISTURBED_ABOVE = 0.1
T = TypeVar("T")


@dataclass(frozen=True)
class CaseKey:
    """What a case is: equal keys of two results can be compared.

    Attributes:
        network: name.
        scorer: the method, or several joined by "+".
        output: of the method; "all" for all of them.
        options: parameters that are not the default, as JSON with sorted keys.
        precision: that was asked for.
        engine: that was asked for.
        batch_size: crops in a call.
        threads: of torch.
        device: "cpu" or "cuda".
    """

    network: str
    scorer: str
    output: str
    options: str
    precision: str
    engine: str
    batch_size: int
    threads: int
    device: str

    @property
    def method(self) -> str:
        """The method with its output and parameters, in words."""
        method = self.scorer if self.output == "score" else f"{self.scorer} {self.output}"
        return method + "".join(f", {k}={v}" for k, v in json.loads(self.options).items())

    def __str__(self) -> str:
        return (
            f"{self.method} on {self.network}, {self.precision}, engine {self.engine}, batch"
            f" {self.batch_size}, {self.threads} threads, {self.device}"
        )


@dataclass(frozen=True)
class CaseResult:
    """What a case costs for one face. Times in ms; ratios are of times within each round.

    Attributes:
        key: what was measured.
        ran_precision: the arithmetic that really ran.
        ran_engine: what really ran it.
        rounds: how many were timed.
        gflop: least operations that give the same numbers, in 10^9.
        floor_precision: of the matrix product that `floor_ms` is taken from.
        ours_ms: of this package.
        loop_ms: of the official-style loop, in float32, one face at a time; None: not timed.
        floor_ms: `gflop` at the rate of the matrix product.
        ratio_to_loop: ours / loop.
        ratio_to_floor: ours / floor.
        waited_fraction: part of the rounds' time that threads of this process waited for a core;
            None where the system does not tell.
        latency: of single calls, for batches of one face.
        peak_memory_mib: high-water mark: of the process on the CPU, with network and torch itself;
            of torch's allocator on CUDA. None: not measured.
        energy_j: of the GPU.
        sm_clock_mhz: of the GPU, after each round.
    """

    key: CaseKey
    ran_precision: str
    ran_engine: str
    rounds: int
    gflop: float
    floor_precision: str
    ours_ms: Spread
    loop_ms: Spread | None
    floor_ms: Spread
    ratio_to_loop: Spread | None
    ratio_to_floor: Spread
    waited_fraction: float | None = None
    latency: Latency | None = None
    peak_memory_mib: float | None = None
    energy_j: float | None = None
    sm_clock_mhz: Spread | None = None

    @property
    def is_disturbed(self) -> bool:
        """Whether something else used the machine: small operators suffer most, loops do too."""
        return self.waited_fraction is not None and self.waited_fraction > _DISTURBED_ABOVE


@dataclass(frozen=True)
class SkippedCase:
    """A case that cannot run here.

    Attributes:
        key: what it would have been.
        reason: why, as a sentence.
    """

    key: CaseKey
    reason: str


@dataclass(frozen=True)
class NetworkFacts:
    """A network of the run.

    Attributes:
        name: as in the cases.
        weights: "packaged", "recipe", or the name of the user's file.
        weight_mib: memory of the parameters in float32.
        forward_gflop: operations of one image's forward pass, in 10^9.
        weights_read_ms: reading all parameters once, at the rate of a copy.
    """

    name: str
    weights: str
    weight_mib: float
    forward_gflop: float
    weights_read_ms: float


@dataclass(frozen=True)
class BenchmarkResult:
    """A run.

    Attributes:
        created: date and time, ISO 8601, UTC.
        machine: where.
        rates: of the machine, measured before the cases.
        settings: of the run.
        networks: those that ran.
        cases: what was measured.
        skipped: what cannot run here.
    """

    created: str
    machine: Machine
    rates: MachineRates
    settings: dict[str, Any]
    networks: tuple[NetworkFacts, ...]
    cases: tuple[CaseResult, ...]
    skipped: tuple[SkippedCase, ...] = field(default=())


def write_result(result: BenchmarkResult, path: Path) -> None:
    """Writes a JSON file, which appears, or replaces another one, when it is whole.

    Raises:
        ResultsError: the file cannot be written there.
    """
    content = {"schema_version": SCHEMA_VERSION, **asdict(result)}
    try:
        write_whole(path, json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise ResultsError(
            f"benchmark: expected to be able to write {path}, got {error.strerror};"
            " choose another file"
        ) from error


def read_result(path: Path) -> BenchmarkResult:
    """Reads what `write_result` wrote.

    Raises:
        ResultsError: no such file, not a benchmark's, or of another version of the format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"benchmark: expected a JSON file of `fiqa-fast benchmark`, got {path}"
            f" ({type(error).__name__}); make it with -o"
        ) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ResultsError(
            f"benchmark: expected results with schema_version {SCHEMA_VERSION}, got {version!r} in"
            f" {path}; run `fiqa-fast benchmark` again with this version"
        )
    try:
        return _result(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise ResultsError(
            f"benchmark: expected complete results, got {path} ({type(error).__name__}: {error});"
            " run `fiqa-fast benchmark` again"
        ) from error


def _result(content: Mapping[str, Any]) -> BenchmarkResult:
    machine = dict(content["machine"])
    machine["cpu_flags"] = tuple(machine["cpu_flags"])
    machine["gpu"] = _maybe(lambda d: GpuState(**d), machine["gpu"])
    return BenchmarkResult(
        created=content["created"],
        machine=Machine(**machine),
        rates=MachineRates(**content["rates"]),
        settings=content["settings"],
        networks=tuple(NetworkFacts(**n) for n in content["networks"]),
        cases=tuple(_case(c) for c in content["cases"]),
        skipped=tuple(SkippedCase(CaseKey(**s["key"]), s["reason"]) for s in content["skipped"]),
    )


def _case(content: Mapping[str, Any]) -> CaseResult:
    spreads = {
        name: _maybe(lambda d: Spread(**d), content[name])
        for name in (
            "ours_ms", "loop_ms", "floor_ms", "ratio_to_loop", "ratio_to_floor", "sm_clock_mhz"
        )
    }  # fmt: skip
    key = CaseKey(**content["key"])
    latency = _maybe(lambda d: Latency(**d), content["latency"])
    return CaseResult(**{**content, **spreads, "key": key, "latency": latency})


def _maybe(make: Callable[[Mapping[str, Any]], T], content: Mapping[str, Any] | None) -> T | None:
    return None if content is None else make(content)
