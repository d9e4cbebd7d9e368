"""Pauses and slow work: in the calling thread, or beside an event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fiqa_fast.client.errors import closed_error

T = TypeVar("T")


class Waiting(ABC):
    """How a coroutine of this package waits."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Pauses."""

    @abstractmethod
    async def offload(self, work: Callable[[], T]) -> T:
        """Does work that takes long."""


class InThread(Waiting):
    """Waits by blocking the thread; `wake` ends all pauses, for good."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    async def sleep(self, seconds: float) -> None:
        """Pauses; raises RequestCancelledError when it is woken."""
        if self._closed.wait(seconds):
            raise closed_error()

    async def offload(self, work: Callable[[], T]) -> T:
        """Does the work here and now."""
        return work()

    def wake(self) -> None:
        """Ends all pauses, those to come too."""
        self._closed.set()


class OnLoop(Waiting):
    """Leaves the event loop to others; work is done in the loop's threads."""

    async def sleep(self, seconds: float) -> None:
        """Pauses."""
        await asyncio.sleep(seconds)

    async def offload(self, work: Callable[[], T]) -> T:
        """Does the work in a thread."""
        return await asyncio.to_thread(work)


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine whose waits all block, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine of a blocking client waited for an event loop")


async def resolved(value: Any) -> Any:
    """What a call gives: itself, or, of an asynchronous call, what it comes to."""
    return await value if inspect.isawaitable(value) else value
