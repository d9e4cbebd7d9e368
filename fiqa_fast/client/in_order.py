"""Many jobs, a bounded number of them at a time, results in the order of the jobs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
Job = Callable[[], Coroutine[Any, Any, T]]


def in_order(
    jobs: Iterable[Job[T]], submit: Callable[[Job[T]], Future[T]], limit: int
) -> Iterator[T]:
    """Runs jobs in threads, as `submit` does.

    The next job is taken only when the oldest result has been handed over, so that at most `limit`
    jobs and results are in memory.

    Yields:
        The results. A job's exception is raised in its place; later jobs are not started then.
    """
    pending: deque[Future[T]] = deque()
    try:
        for job in jobs:
            pending.append(submit(job))
            if len(pending) == limit:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


async def in_order_async(jobs: AsyncIterator[Job[T]], limit: int) -> AsyncGenerator[T, None]:
    """As `in_order`, with tasks of the event loop; those that are not waited for are cancelled."""
    pending: deque[asyncio.Task[T]] = deque()
    try:
        async for job in jobs:
            pending.append(asyncio.create_task(job()))
            if len(pending) == limit:
                yield await pending.popleft()
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
