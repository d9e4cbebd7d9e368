"""What NVIDIA's driver tells about a GPU: clocks, energy, power.

The package nvidia-ml-py (the extra `gpu`) is imported when a CUDA device is measured and never
before. Without it, or where a GPU lacks a counter, the numbers are None.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True)
class GpuState:
    """A GPU and how it is set.

    Attributes:
        name: of the model.
        driver: version of the driver.
        cuda: version that torch was built for.
        sm_clock_mhz: of the multiprocessors, now.
        max_sm_clock_mhz: that they can reach.
        memory_clock_mhz: now.
        power_limit_w: set for the board.
        memory_gib: of the device.
    """

    name: str
    driver: str | None
    cuda: str | None
    sm_clock_mhz: int | None
    max_sm_clock_mhz: int | None
    memory_clock_mhz: int | None
    power_limit_w: float | None
    memory_gib: float


class Nvml:
    """The driver's view of one CUDA device.

    Args:
        device: a CUDA device of torch. It is found by its UUID, since the driver's numbers are not
            those that CUDA_VISIBLE_DEVICES leaves.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._nvml: Any = None
        self._handle: Any = None
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return
        try:
            nvml.nvmlInit()
            uuid = torch.cuda.get_device_properties(device).uuid
            self._handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        except nvml.NVMLError:  # no driver in this container, or a device that it does not show
            return
        self._nvml = nvml

    @property
    def is_usable(self) -> bool:
        """Whether the driver answers."""
        return self._nvml is not None

    def state(self) -> GpuState:
        """Describes the device."""
        properties = torch.cuda.get_device_properties(self.device)
        n = self._nvml
        limit_mw = self._ask(lambda: n.nvmlDeviceGetEnforcedPowerLimit(self._handle))
        driver = self._ask(lambda: n.nvmlSystemGetDriverVersion())
        return GpuState(
            name=properties.name,
            driver=driver.decode() if isinstance(driver, bytes) else driver,
            cuda=torch.version.cuda,
            sm_clock_mhz=self.sm_clock_mhz(),
            max_sm_clock_mhz=self._ask(
                lambda: n.nvmlDeviceGetMaxClockInfo(self._handle, n.NVML_CLOCK_SM)
            ),
            memory_clock_mhz=self._ask(
                lambda: n.nvmlDeviceGetClockInfo(self._handle, n.NVML_CLOCK_MEM)
            ),
            power_limit_w=None if limit_mw is None else limit_mw / 1e3,
            memory_gib=round(properties.total_memory / 2**30, 1),
        )

    def sm_clock_mhz(self) -> int | None:
        """The multiprocessors' clock now."""
        n = self._nvml
        return self._ask(lambda: int(n.nvmlDeviceGetClockInfo(self._handle, n.NVML_CLOCK_SM)))

    def energy_j(self) -> float | None:
        """Energy since the driver was loaded; moves in steps of some ten milliseconds."""
        n = self._nvml
        millijoules = self._ask(lambda: n.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        return None if millijoules is None else millijoules / 1e3

    def _ask(self, question: Callable[[], T]) -> T | None:
        if self._nvml is None:
            return None
        try:
            return question()
        except self._nvml.NVMLError:  # this GPU does not count that
            return None
