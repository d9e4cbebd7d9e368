"""For which batch sizes a plan is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fiqa_fast.engines.tensorrt.onnx_model import OnnxTensor
from fiqa_fast.errors import InvalidArgumentError


@dataclass(frozen=True)
class BatchProfile:
    """The batch sizes of an optimisation profile; kernels are chosen for `opt`.

    Smaller batches than `min` are filled up, larger ones than `max` are cut. With all three alike
    every pass has the same shape, so that a score does not depend on its batch.

    Attributes:
        min: smallest batch, at least 1.
        opt: the batch to be fastest at.
        max: largest batch; buffers have this size.

    Raises:
        InvalidArgumentError: the numbers are not in order.
    """

    min: int = 1
    opt: int = 8
    max: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max:
            raise InvalidArgumentError(
                f"tensorrt: expected profile with 1 <= min <= opt <= max, got min {self.min},"
                f" opt {self.opt}, max {self.max}"
            )

    def add_to(self, config: Any, builder: Any, inputs: Sequence[OnnxTensor]) -> None:
        """Adds the profile to a builder's configuration.

        Args:
            config: of the library, `IBuilderConfig`.
            builder: of the library, `Builder`.
            inputs: of the graph; the first dimension of each is the batch.

        Raises:
            InvalidArgumentError: an input is dynamic elsewhere, or has no batch.
        """
        profile = builder.create_optimization_profile()
        for tensor in inputs:
            batch, *rest = tensor.shape or (0,)
            if batch is not None or None in rest:
                raise InvalidArgumentError(
                    "tensorrt: expected a graph whose inputs are dynamic in their first dimension"
                    f" and nowhere else, got {tensor}; export it with a dynamic batch"
                )
            profile.set_shape(tensor.name, *((size, *rest) for size in self.sizes))
        if config.add_optimization_profile(profile) < 0:
            raise InvalidArgumentError(
                f"tensorrt: expected a profile that fits the graph's inputs, got {self} for"
                f" {', '.join(str(t) for t in inputs)}"
            )

    @property
    def sizes(self) -> tuple[int, int, int]:
        """min, opt, max."""
        return self.min, self.opt, self.max
