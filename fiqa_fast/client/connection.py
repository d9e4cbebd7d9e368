"""What a client needs of a protocol.

Methods are coroutines in both clients. On blocking transports they never wait for an event loop, so
that `waiting.run_blocking` can run them without one: what a client does is written once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from fiqa_fast.client.request import Answer, Request


@dataclass(frozen=True)
class ModelConfig:
    """The part of a model's configuration that a client reads.

    Attributes:
        name: of the model.
        max_batch_size: most rows of one request.
        parameters: texts by key.
    """

    name: str
    max_batch_size: int
    parameters: Mapping[str, str]


class Connection(ABC):
    """A connection to one server; every method raises a `ServerError` when it fails.

    `timeout_s` is the time that is left for the answer.
    """

    @abstractmethod
    async def infer(self, request: Request, timeout_s: float) -> Answer:
        """Asks a model."""

    @abstractmethod
    async def model_config(self, model: str, timeout_s: float) -> ModelConfig:
        """Reads a model's configuration."""

    @abstractmethod
    async def ready_models(self, timeout_s: float) -> list[str]:
        """Names of the models that are loaded."""

    @abstractmethod
    async def register_system_memory(
        self, name: str, key: str, size: int, timeout_s: float
    ) -> None:
        """Tells the server of memory under a key of `shm_open`, of a size in bytes."""

    @abstractmethod
    async def register_cuda_memory(
        self, name: str, handle: bytes, device: int, size: int, timeout_s: float
    ) -> None:
        """Tells the server of memory of a GPU; the handle is CUDA's, in base64."""

    @abstractmethod
    async def unregister_memory(self, name: str, *, cuda: bool, timeout_s: float) -> None:
        """Tells the server that memory is no longer used."""

    @abstractmethod
    async def close(self) -> None:
        """Ends the connection and what is still in flight on it."""
