"""Work done ahead by threads, with results in order and a bound on what waits."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def work_ahead(
    function: Callable[[T], R], items: Iterable[T], *, waiting: int, threads: int | None = None
) -> Generator[R]:
    """Yields function(item) for each item, in order, while threads work on the next ones.

    Args:
        function: called in the threads.
        items: may be a generator of any length.
        waiting: how many results may wait to be taken.
        threads: None: one for each core.
    """
    workers = threads or os.cpu_count() or 1
    remaining = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="fiqa-faces") as pool:
        pending: deque[Future[R]] = deque()
        try:
            while True:
                for item in islice(remaining, waiting + workers - len(pending)):
                    pending.append(pool.submit(function, item))
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
