"""Measures one network: group by group, everything of a group in turn."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.benchmark import memory
from fiqa_fast.benchmark.candidates import Candidate, loop_faces, make_candidate, run_loop
from fiqa_fast.benchmark.cases import Case, Group, least_flops
from fiqa_fast.benchmark.contention import waited_fraction, waited_s
from fiqa_fast.benchmark.crops import synthetic_crops
from fiqa_fast.benchmark.energy import measure_energy_j
from fiqa_fast.benchmark.floors import (
    MachineRates,
    bytes_floor_s,
    floor_precision,
    matrix_product,
    weight_bytes,
)
from fiqa_fast.benchmark.flops import count_network
from fiqa_fast.benchmark.measure import Call, in_turn, measure_latency, ratios, spread
from fiqa_fast.benchmark.networks import NetworkSource, load
from fiqa_fast.benchmark.nvml import Nvml
from fiqa_fast.benchmark.results import CaseKey, CaseResult, NetworkFacts
from fiqa_fast.errors import FiqaError, InvalidArgumentError


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: of each group, at most.
        budget_s: for the rounds of a group; one round is always run.
        latency_calls: for percentiles, at most.
        latency_budget_s: for them.
        memory: whether to start a process for each case to see its peak memory (CPU only; on CUDA
            torch's allocator tells it anyway).
    """

    rounds: int = 9
    budget_s: float = 15.0
    latency_calls: int = 200
    latency_budget_s: float = 2.0
    memory: bool = False

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InvalidArgumentError(
                f"benchmark: expected --rounds >= 1, got {self.rounds}; choose another number"
            )


QUICK = Effort(rounds=5, budget_s=3.0, latency_budget_s=0.5)


class NetworkTiming:
    """One network, loaded once in each precision that is asked for.

    Args:
        source: where its weights are.
        device: where it runs.
        rates: of the machine.
        effort: how long to measure.

    Raises:
        FiqaError: the network cannot be loaded.
    """

    def __init__(
        self, source: NetworkSource, device: torch.device, rates: MachineRates, effort: Effort
    ) -> None:
        self.source, self.device, self.rates, self.effort = source, device, rates, effort
        self._loaded: dict[str, Backbone] = {}
        self._nvml = Nvml(device) if device.type == "cuda" else None
        self.name = self._network("float32").spec.name
        self._flops = count_network(self._network("float32"))

    def facts(self) -> NetworkFacts:
        """The network in numbers."""
        network = self._network("float32")
        size = weight_bytes(network)
        return NetworkFacts(
            name=self.name,
            weights=self.source.origin,
            weight_mib=size / 2**20,
            forward_gflop=self._flops.forward / 1e9,
            weights_read_ms=1e3 * bytes_floor_s(size, self.rates),
        )

    def measure(self, group: Group) -> tuple[list[CaseResult], list[tuple[CaseKey, FiqaError]]]:
        """Times a group; also returns the cases that cannot run, and why."""
        with _threads(group.threads):
            candidates: dict[Case, Candidate] = {}
            refused = []
            for case in group.cases:
                try:
                    network = self._network(case.precision)
                    candidates[case] = make_candidate(group.workload, network, case.engine)
                except FiqaError as error:
                    refused.append((self._key(group, case), error))
            measured = self._time(group, candidates) if candidates else []
        return measured, refused

    def _time(self, group: Group, candidates: dict[Case, Candidate]) -> list[CaseResult]:
        workload, effort = group.workload, self.effort
        crops = synthetic_crops(max(case.batch_size for case in candidates))
        floor_of = {case: floor_precision(case.precision, self.rates) for case in candidates}
        products = {p: matrix_product(self.device, p) for p in set(floor_of.values())}
        faces = loop_faces(workload)
        calls: dict[str, Call] = {f"floor {p}": m.run for p, m in products.items()}
        if workload.with_loop:
            loop_network, loop_crops = self._network("float32"), synthetic_crops(faces)
            calls["loop"] = partial(run_loop, workload, loop_network, loop_crops)
        ours = {
            case: partial(candidate.score, crops[: case.batch_size])
            for case, candidate in candidates.items()
        }
        calls |= {str(case): call for case, call in ours.items()}
        clocks: list[float] = []

        def read_clock() -> None:
            clock = None if self._nvml is None else self._nvml.sm_clock_mhz()
            if clock is not None:
                clocks.append(clock)

        waited, begin = waited_s(), time.perf_counter()
        samples = in_turn(
            calls,
            self.device,
            rounds=effort.rounds,
            budget_s=effort.budget_s,
            after_round=read_clock,
        )
        waiting = waited_fraction(waited, waited_s(), time.perf_counter() - begin)
        flops = least_flops(workload, self._flops)
        loop_ms = [1e3 * s / faces for s in samples.get("loop", [])]
        results = []
        for case, candidate in candidates.items():
            product = products[floor_of[case]]
            products_s = samples[f"floor {floor_of[case]}"]
            floor_ms = [1e3 * s * flops / product.flops for s in products_s]
            ours_ms = [1e3 * s / case.batch_size for s in samples[str(case)]]
            result = CaseResult(
                key=self._key(group, case),
                ran_precision=candidate.precision,
                ran_engine=candidate.engine,
                rounds=len(ours_ms),
                gflop=flops / 1e9,
                floor_precision=floor_of[case],
                ours_ms=spread(ours_ms),
                loop_ms=spread(loop_ms) if loop_ms else None,
                floor_ms=spread(floor_ms),
                ratio_to_loop=ratios(ours_ms, loop_ms) if loop_ms else None,
                ratio_to_floor=ratios(ours_ms, floor_ms),
                waited_fraction=waiting,
                sm_clock_mhz=spread(clocks) if clocks else None,
            )
            results.append(replace(result, **self._further(group, case, ours[case])))
        return results

    def _further(self, group: Group, case: Case, call: Call) -> dict[str, Any]:
        """What is measured of a case by itself, outside the rounds."""
        effort, found = self.effort, dict[str, Any]()
        if case.batch_size == 1:
            found["latency"] = measure_latency(
                call, self.device, calls=effort.latency_calls, budget_s=effort.latency_budget_s
            )
        if self.device.type == "cuda":
            found["peak_memory_mib"] = memory.cuda_peak_mib(call, self.device)
            assert self._nvml is not None
            joules = measure_energy_j(call, self.device, self._nvml)
            found["energy_j"] = None if joules is None else joules / case.batch_size
        elif effort.memory:
            found["peak_memory_mib"] = memory.process_peak_mib(
                {
                    "network": self.source.name,
                    "weights": None if self.source.weights is None else str(self.source.weights),
                    "precision": case.precision,
                    "scorers": group.workload.scorers,
                    "output": group.workload.output,
                    "options": dict(group.workload.options),
                    "engine": case.engine,
                    "batch_size": case.batch_size,
                    "threads": group.threads,
                }
            )
        return found

    def _network(self, precision: str) -> Backbone:
        if precision not in self._loaded:
            device = str(self.device)
            self._loaded[precision] = load(self.source, precision=precision, device=device)
        return self._loaded[precision]

    def _key(self, group: Group, case: Case) -> CaseKey:
        return CaseKey(
            network=self.name,
            scorer=group.workload.name,
            output=group.workload.output,
            options=json.dumps(dict(group.workload.options), sort_keys=True),
            precision=case.precision,
            engine=case.engine,
            batch_size=case.batch_size,
            threads=group.threads,
            device=self.device.type,
        )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
