"""A request and its answer, in a form that no protocol has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from fiqa_fast.client.errors import ContractError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Placement:
    """Where in shared memory a tensor lies.

    Attributes:
        region: name under which the server knows the memory.
        size: in bytes.
    """

    region: str
    size: int


@dataclass(frozen=True)
class Request:
    """One question to one model; it has one input.

    Attributes:
        model: its name; the server chooses the version.
        input_name: "crops" or "image".
        input: uint8 [B, 112, 112, 3], or object [1, 1] of bytes.
        outputs: names of those wanted.
        placement: where the input lies; None: inside the message.
    """

    model: str
    input_name: str
    input: Array
    outputs: tuple[str, ...]
    placement: Placement | None = None

    @property
    def content(self) -> memoryview:
        """The bytes of the input as they travel; texts with their length before them."""
        if self.input.dtype == np.object_:
            texts = (len(text).to_bytes(4, "little") + text for text in self.input.flat)
            return memoryview(b"".join(texts))
        return np.ascontiguousarray(self.input).data.cast("B")


@dataclass(frozen=True)
class Answer:
    """What a model answered.

    Attributes:
        model: its name.
        version: that answered.
        outputs: by name.
    """

    model: str
    version: str
    outputs: Mapping[str, Array] = field(repr=False)

    def output(self, name: str, shape: tuple[int | None, ...]) -> Array:
        """One of the outputs.

        Args:
            name: of the output.
            shape: that it must have; None stands for any size.

        Raises:
            ContractError: it is not there, or has another shape.
        """
        array = self.outputs.get(name)
        found = None if array is None else array.shape
        if (
            array is None
            or array.ndim != len(shape)
            or any(s not in (None, f) for s, f in zip(shape, array.shape, strict=True))
        ):
            wanted = [("any" if s is None else s) for s in shape]
            raise ContractError(
                f"client: expected {self.model} to answer with {name} of shape {wanted}, got"
                f" {'none' if found is None else list(found)}; serve a repository of"
                " `fiqa-fast serve build-repo`"
            )
        return array


def to_triton(request: Request, protocol: ModuleType) -> tuple[list[Any], list[Any]]:
    """A request as the inputs and wanted outputs of tritonclient.

    Args:
        request: the question.
        protocol: `tritonclient.grpc` or `tritonclient.http`.
    """
    datatype = "BYTES" if request.input.dtype == np.object_ else "UINT8"
    tensor = protocol.InferInput(request.input_name, list(request.input.shape), datatype)
    if request.placement is None:
        tensor.set_data_from_numpy(request.input)
    else:
        tensor.set_shared_memory(request.placement.region, request.placement.size)
    return [tensor], [protocol.InferRequestedOutput(name) for name in request.outputs]


def from_triton(request: Request, result: Any, version: str) -> Answer:
    """What tritonclient's InferResult holds."""
    outputs = {name: result.as_numpy(name) for name in request.outputs}
    return Answer(request.model, version, {n: a for n, a in outputs.items() if a is not None})
