"""Against a driver that is made up: NVML's own numbers need a GPU."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from fiqa_fast.benchmark import energy, measure
from fiqa_fast.benchmark.energy import measure_energy_j
from fiqa_fast.benchmark.machine import describe_machine
from fiqa_fast.benchmark.nvml import Nvml

GPU = torch.device("cuda:0")
UUID = "3f2b1c00-0000-0000-0000-000000000001"


class NVMLError(Exception):
    pass


@pytest.fixture
def driver(monkeypatch):
    """A driver with one GPU; its energy counter stands in `driver.millijoules`."""
    module = ModuleType("pynvml")
    module.NVMLError = NVMLError
    module.NVML_CLOCK_SM, module.NVML_CLOCK_MEM = 1, 2
    module.millijoules = 5000
    module.nvmlInit = lambda: None

    def by_uuid(uuid):
        if uuid != f"GPU-{UUID}":
            raise NVMLError("not found")
        return "handle"

    module.nvmlDeviceGetHandleByUUID = by_uuid
    module.nvmlSystemGetDriverVersion = lambda: "999.10"
    module.nvmlDeviceGetClockInfo = lambda handle, kind: {1: 1410, 2: 2600}[kind]
    module.nvmlDeviceGetMaxClockInfo = lambda handle, kind: {1: 1980}[kind]
    module.nvmlDeviceGetEnforcedPowerLimit = lambda handle: 350_000
    module.nvmlDeviceGetTotalEnergyConsumption = lambda handle: module.millijoules
    properties = SimpleNamespace(name="Example GPU", uuid=UUID, total_memory=80 * 2**30)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    return module


def test_state(driver):
    state = Nvml(GPU).state()
    assert (state.name, state.driver, state.memory_gib) == ("Example GPU", "999.10", 80.0)
    clocks = (state.sm_clock_mhz, state.max_sm_clock_mhz, state.memory_clock_mhz)
    assert clocks == (1410, 1980, 2600)
    assert state.power_limit_w == 350.0
    assert describe_machine(GPU).gpu == state


def test_older_drivers_answer_in_bytes(driver, monkeypatch):
    monkeypatch.setattr(driver, "nvmlSystemGetDriverVersion", lambda: b"470.1")
    assert Nvml(GPU).state().driver == "470.1"


def test_a_gpu_without_an_energy_counter(driver, monkeypatch):
    def refuse(handle):
        raise NVMLError("not supported")

    monkeypatch.setattr(driver, "nvmlDeviceGetTotalEnergyConsumption", refuse)
    nvml = Nvml(GPU)
    assert nvml.energy_j() is None
    assert nvml.sm_clock_mhz() == 1410
    assert measure_energy_j(lambda: None, GPU, nvml) is None


@pytest.mark.parametrize("what", ["package", "driver", "device"])
def test_without_nvml(driver, monkeypatch, what):
    if what == "package":
        monkeypatch.setitem(sys.modules, "pynvml", None)  # its import fails
    elif what == "driver":

        def refuse():
            raise NVMLError("driver not loaded")

        monkeypatch.setattr(driver, "nvmlInit", refuse)
    else:
        other = SimpleNamespace(name="Example GPU", uuid="another", total_memory=2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: other)
    nvml = Nvml(GPU)
    assert not nvml.is_usable
    assert nvml.energy_j() is None
    state = nvml.state()
    assert state.name == "Example GPU"
    assert (state.driver, state.sm_clock_mhz, state.power_limit_w) == (None, None, None)


def test_energy_of_a_call(driver, monkeypatch):
    now = SimpleNamespace(s=0.0)
    clock = SimpleNamespace(perf_counter=lambda: now.s)
    monkeypatch.setattr(energy, "time", clock)
    monkeypatch.setattr(measure, "time", clock)
    calls = []

    def call():
        calls.append(None)
        now.s += 0.3
        driver.millijoules += 1500

    assert measure_energy_j(call, GPU, Nvml(GPU), at_least_s=1.0) == pytest.approx(1.5)
    assert len(calls) == 4
