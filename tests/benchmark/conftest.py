import json
from dataclasses import replace

import pytest

from fiqa_fast.benchmark.floors import MachineRates
from fiqa_fast.benchmark.machine import Machine
from fiqa_fast.benchmark.measure import Latency, Spread
from fiqa_fast.benchmark.results import BenchmarkResult, CaseKey, CaseResult, NetworkFacts

MACHINE = Machine(
    cpu="Example 9000",
    cores=2,
    cpu_flags=("avx2", "avx512f"),
    memory_gib=23.5,
    system="Linux 6 x86_64",
    python="3.11.7",
    torch="2.13.0+cpu",
    fiqa_fast="0.1.0",
    threads=2,
    gpu=None,
)


def _case(*, to_loop=0.5, to_floor=4.0, options=None, **changes):
    """A hand-made case: the floor takes 5 ms, the loop what `to_loop` says."""
    key = CaseKey(
        network="sface",
        scorer="grafiqs",
        output="b2",
        options=json.dumps(options or {}),
        precision="float32",
        engine="torch",
        batch_size=1,
        threads=2,
        device="cpu",
    )
    keys = {k: changes.pop(k) for k in list(changes) if hasattr(key, k)}
    ours = 5.0 * to_floor
    case = CaseResult(
        key=replace(key, **keys),
        ran_precision="float32",
        ran_engine="torch",
        rounds=9,
        gflop=1.5,
        floor_precision="float32",
        ours_ms=Spread(ours, 0.25),
        loop_ms=None if to_loop is None else Spread(ours / to_loop, 1.5),
        floor_ms=Spread(5.0, 0.125),
        ratio_to_loop=None if to_loop is None else Spread(to_loop, 0.01),
        ratio_to_floor=Spread(to_floor, 0.1),
        latency=Latency(20.0, 21.0, None, 50),
    )
    return replace(case, **changes)


@pytest.fixture(scope="session")
def make_case():
    return _case


@pytest.fixture(scope="session")
def make_result():
    def make(*cases, **changes):
        result = BenchmarkResult(
            created="2026-11-25T02:00:00+00:00",
            machine=MACHINE,
            rates=MachineRates({"float32": 3e11, "bf16": 1.25e12}, 4.5e10),
            settings={"rounds": 9},
            networks=(NetworkFacts("sface", "packaged", 37.0, 1.148, 0.86),),
            cases=cases,
        )
        return replace(result, **changes)

    return make
