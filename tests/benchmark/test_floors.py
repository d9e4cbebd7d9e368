import pytest
import torch

from fiqa_fast.benchmark import floors
from fiqa_fast.benchmark.floors import (
    MachineRates,
    bytes_floor_s,
    floor_precision,
    matrix_product,
    measure_rates,
    weight_bytes,
)
from fiqa_fast.errors import InvalidArgumentError

CPU = torch.device("cpu")
RATES = MachineRates({"float32": 2e11, "bf16": 9e11, "int8": 2e12}, 4e10)


def test_rates_of_this_machine():
    rates = measure_rates(CPU, repeats=2)
    assert {"float32", "bf16"} <= rates.flops_per_s.keys()
    assert all(1e8 < rate < 1e16 for rate in rates.flops_per_s.values())
    assert 1e8 < rates.copied_bytes_per_s < 1e14


def test_without_integer_products(monkeypatch):
    def refuse(*_):
        raise RuntimeError("not for this device")

    monkeypatch.setattr(torch, "_int_mm", refuse)
    assert measure_rates(CPU, repeats=1).flops_per_s.keys() == {"float32", "bf16"}


def test_a_rate_is_operations_or_bytes_over_time(monkeypatch):
    def half_a_second(call, device):
        call()
        return 0.5

    monkeypatch.setattr(floors, "timed_s", half_a_second)
    rates = measure_rates(CPU, repeats=1)
    assert rates.flops_per_s["float32"] == 2 * 1024**3 / 0.5
    assert rates.copied_bytes_per_s == 2 * 2**28 / 0.5  # read, and written


def test_an_unknown_precision():
    with pytest.raises(InvalidArgumentError, match=r"expected precision .*, got 'int3'"):
        matrix_product(CPU, "int3")


@pytest.mark.parametrize(
    ("precision", "expected"), [("float32", "float32"), ("auto", "bf16"), ("float64", "float64")]
)
def test_the_precision_of_the_floor(precision, expected):
    assert floor_precision(precision, RATES) == expected


def test_bytes(sface32):
    assert bytes_floor_s(8e10, RATES) == 2.0
    assert weight_bytes(sface32) == 4 * sum(p.numel() for p in sface32.parameters())
