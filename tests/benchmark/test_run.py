"""Small runs on SFace, from the grid to the result."""

import pytest
import torch

from fiqa_fast.benchmark import memory, network_timing
from fiqa_fast.benchmark.cases import Workload, make_groups, parse_workloads
from fiqa_fast.benchmark.network_timing import Effort
from fiqa_fast.benchmark.run import run_benchmark
from fiqa_fast.errors import InvalidArgumentError, UnavailableError, WeightsError

TINY = Effort(rounds=2, budget_s=5, latency_calls=3, latency_budget_s=1)


def _groups(*workloads, precisions=("float32",), engines=("auto",), batch_sizes=(1,), threads=(1,)):
    return make_groups(
        workloads,
        ["sface"],
        precisions=precisions,
        engines=engines,
        batch_sizes=batch_sizes,
        threads=threads,
    )


def test_a_run():
    threads = torch.get_num_threads()
    told = []
    groups = _groups(
        *parse_workloads("grafiqs.b2"),
        *parse_workloads("ser-fiq+embedding-norm"),
        Workload(("cr-fiqa",), "score"),
        batch_sizes=(1, 2),
    )
    result = run_benchmark(groups, device="cpu", effort=TINY, progress=told.append)
    assert torch.get_num_threads() == threads
    assert [(c.key.method, c.key.batch_size) for c in result.cases] == [
        ("grafiqs b2", 1), ("grafiqs b2", 2),
        ("ser-fiq+embedding-norm all", 1), ("ser-fiq+embedding-norm all", 2),
    ]  # fmt: skip
    for case in result.cases:
        assert case.rounds in (1, 2)  # a busy machine has time for one only
        assert min(case.ours_ms.median, case.floor_ms.median, case.loop_ms.median) > 0
        assert min(case.ratio_to_loop.median, case.ratio_to_floor.median) > 0
        assert (case.ran_precision, case.floor_precision) == ("float32", "float32")
        assert (case.latency is None) == (case.key.batch_size == 2)
    assert result.cases[0].gflop == pytest.approx(2.026, abs=1e-3)
    assert [s.key.scorer for s in result.skipped] == ["cr-fiqa", "cr-fiqa"]
    assert "cr-fiqa" in result.skipped[0].reason
    (facts,) = result.networks
    assert (facts.name, facts.weights) == ("sface", "packaged")
    assert told[0] == "rates of the machine"
    assert "grafiqs b2 on sface" in told


def test_ratios_hold_what_they_are_named_after(monkeypatch):
    """With times that are made up: ours 30 ms for 2 faces, the loop 40 ms for 4."""

    def made_up(calls, device, **_):
        times = {"floor float32": 0.002, "loop": 0.04}
        return {name: [times.get(name, 0.03)] for name in calls}

    monkeypatch.setattr(network_timing, "in_turn", made_up)
    groups = _groups(*parse_workloads("embedding-norm"), batch_sizes=(2,))
    (case,) = run_benchmark(groups, device="cpu", effort=TINY).cases
    assert case.ours_ms.median == pytest.approx(15)
    assert case.loop_ms.median == pytest.approx(10)
    assert case.ratio_to_loop.median == pytest.approx(1.5)
    floor_ms = 2 * case.gflop * 1e9 / (2 * 1024**3)
    assert case.floor_ms.median == pytest.approx(floor_ms)
    assert case.ratio_to_floor.median == pytest.approx(15 / floor_ms)


@pytest.mark.parametrize(
    ("choice", "error"),
    [
        ({"engines": ["abacus"]}, UnavailableError),
        ({"precisions": ["int3"]}, InvalidArgumentError),
    ],
)
def test_nothing_can_be_measured(choice, error):
    with pytest.raises(error):
        run_benchmark(_groups(*parse_workloads("embedding-norm"), **choice), effort=TINY)


def test_weights_that_are_missing(tmp_path):
    with pytest.raises(WeightsError):
        run_benchmark(
            _groups(*parse_workloads("embedding-norm")),
            weights=tmp_path / "missing.pth",
            effort=TINY,
        )


def test_rounds_below_one():
    with pytest.raises(InvalidArgumentError, match="--rounds >= 1, got 0"):
        Effort(rounds=0)


def _probe(**changes):
    case = {
        "network": "sface", "weights": None, "precision": "float32", "scorers": ["grafiqs"],
        "output": "all", "options": {}, "engine": "auto", "batch_size": 1, "threads": 1,
    }  # fmt: skip
    return memory.process_peak_mib({**case, **changes})


@pytest.mark.slow
def test_peak_memory_of_a_process():
    assert 50 < _probe() < 20_000


@pytest.mark.slow
def test_a_process_that_fails():
    with pytest.raises(UnavailableError, match="expected a process that scores a batch"):
        _probe(scorers=["cr-fiqa"], output="score")
