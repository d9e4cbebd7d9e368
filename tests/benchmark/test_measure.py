from types import SimpleNamespace

import pytest
import torch

from fiqa_fast.benchmark import measure
from fiqa_fast.benchmark.measure import Spread, in_turn, latency, measure_latency, ratios, spread

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that calls move: `clock.takes(s)` is a call that takes s seconds."""
    now = SimpleNamespace(s=0.0)

    def takes(seconds):
        def call():
            now.s += seconds

        return call

    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=lambda: now.s))
    return SimpleNamespace(takes=takes, now=now)


def test_everything_runs_in_turn(clock):
    order = []
    calls = {name: (lambda n=name: order.append(n)) for name in ("loop", "floor", "ours")}
    samples = in_turn(calls, CPU, rounds=3, budget_s=10, after_round=lambda: order.append("|"))
    assert order == ["loop", "floor", "ours", "|"] * 4  # the first round warms up
    assert {name: len(times) for name, times in samples.items()} == dict.fromkeys(calls, 3)


def test_times_are_those_of_the_calls(clock):
    samples = in_turn({"a": clock.takes(0.5), "b": clock.takes(2)}, CPU, rounds=2, budget_s=100)
    assert samples == {"a": [0.5, 0.5], "b": [2, 2]}


@pytest.mark.parametrize(
    ("round_s", "budget_s", "expected"),
    [(1, 4, 3), (1, 3.5, 2), (2, 5, 2), (20, 5, 1), (1, 1000, 7)],
)
def test_the_budget_is_kept_but_for_one_round(clock, round_s, budget_s, expected):
    samples = in_turn({"a": clock.takes(round_s)}, CPU, rounds=7, budget_s=budget_s)
    assert len(samples["a"]) == expected
    assert clock.now.s <= max(budget_s, round_s)


def test_spread():
    assert spread([4.0]) == Spread(4.0, None)
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == Spread(3.0, 2.0)


def test_ratios_are_of_the_same_round():
    # A machine that is twice as slow in the second round is so for both.
    assert ratios([1.0, 2.0], [2.0, 4.0]) == Spread(0.5, 0.0)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(9, (5, None, None)), (10, (5, 9, None)), (99, (50, 90, None)), (100, (50, 90, 99))],
)
def test_percentiles(count, expected):
    found = latency([i / 1e3 for i in range(count, 0, -1)])
    assert (found.p50_ms, found.p90_ms, found.p99_ms) == pytest.approx(expected)
    assert found.calls == count


def test_latency_ends_with_its_budget(clock):
    call = clock.takes(0.4)
    assert measure_latency(call, CPU, calls=100, budget_s=1.0).calls == 3
    assert measure_latency(call, CPU, calls=2, budget_s=1.0).calls == 2
    assert measure_latency(call, CPU, calls=100, budget_s=0).calls == 1
