"""What an engine offers: a compiled graph that takes arrays and gives arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

Array = npt.NDArray[Any]


class Runner(Protocol):
    """A graph that an engine has compiled. Calls from several threads do not disturb each other.

    Attributes:
        engine: its name, as `create_scorer` takes it.
        precision: the arithmetic that runs: "float32", "bf16", "fp16" or "int8".
        device: "cpu", "cuda:0", ...
    """

    engine: str
    precision: str
    device: str

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph.

        Args:
            inputs: by name, C-contiguous: crops, uint8 [B, 112, 112, 3], and noise [B, ...] where
                the graph takes it; B >= 1.

        Returns:
            By name: raw_score, float32 [B, O], and what else the graph gives. Own memory.
        """
        ...
