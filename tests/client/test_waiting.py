import asyncio
import threading
import time

import pytest

from fiqa_fast.client import RequestCancelledError
from fiqa_fast.client.waiting import InThread, OnLoop, resolved, run_blocking


def test_coroutines_run_without_a_loop():
    async def add(one):
        return one + await resolved(2)

    assert run_blocking(add(1)) == 3


def test_errors_come_through():
    async def fail():
        raise KeyError("it")

    with pytest.raises(KeyError, match="it"):
        run_blocking(fail())


def test_waiting_for_a_loop_is_a_fault():
    with pytest.raises(RuntimeError, match="waited for an event loop"):
        run_blocking(asyncio.sleep(0))


def test_a_pause_ends_when_the_client_is_closed():
    waiting = InThread()
    threading.Timer(0.05, waiting.wake).start()
    start = time.monotonic()
    with pytest.raises(RequestCancelledError):
        run_blocking(waiting.sleep(30))
    assert time.monotonic() - start < 20


def test_slow_work_leaves_the_loop_free():
    async def run():
        waiting = OnLoop()
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        assert await waiting.offload(lambda: time.sleep(0.1) or "done") == "done"
        ticking.cancel()
        return ticks

    assert asyncio.run(run()) > 3
