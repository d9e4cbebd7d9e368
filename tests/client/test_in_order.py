import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial

import pytest

from fiqa_fast.client.in_order import in_order, in_order_async
from fiqa_fast.client.waiting import run_blocking

LIMIT = 4


class Work:
    """Jobs that are slower the earlier they come; counts how many there are at a time."""

    def __init__(self, count: int, failing: int | None = None) -> None:
        self.count, self.failing = count, failing
        self.taken = self.handed_over = self.started = 0
        self.most_in_memory = 0

    def jobs(self, pause):
        for number in range(self.count):
            self.taken += 1
            self.most_in_memory = max(self.most_in_memory, self.taken - self.handed_over)
            yield partial(self._job, number, pause)

    async def _job(self, number, pause):
        self.started += 1
        await pause(0.02 if number % LIMIT == 0 else 0.001)
        if number == self.failing:
            raise KeyError(number)
        return number

    def results(self, kind):
        return _blocking(self) if kind == "blocking" else asyncio.run(_async(self))


async def _block(seconds):
    time.sleep(seconds)


def _blocking(work):
    with ThreadPoolExecutor(8) as pool:
        stream = in_order(
            work.jobs(_block), lambda job: pool.submit(lambda: run_blocking(job())), LIMIT
        )
        return [_handed_over(work, result) for result in stream]


async def _async(work):
    async def jobs():
        for job in work.jobs(asyncio.sleep):
            yield job

    async with aclosing(in_order_async(jobs(), LIMIT)) as stream:
        return [_handed_over(work, result) async for result in stream]


def _handed_over(work, result):
    work.handed_over += 1
    return result


@pytest.mark.parametrize("kind", ["blocking", "async"])
@pytest.mark.parametrize("count", [0, 1, LIMIT, 30])
def test_order_is_kept_and_few_are_in_memory(kind, count):
    work = Work(count)
    assert work.results(kind) == list(range(count))
    assert work.most_in_memory == min(count, LIMIT)


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_an_error_comes_in_its_place_and_ends_the_rest(kind):
    work = Work(100, failing=10)
    with pytest.raises(KeyError, match="10"):
        work.results(kind)
    assert work.handed_over == 10
    assert work.started <= 10 + LIMIT


def test_tasks_end_with_the_stream():
    async def run():
        async def jobs():
            for job in Work(100).jobs(asyncio.sleep):
                yield job

        async with aclosing(in_order_async(jobs(), LIMIT)) as stream:
            async for result in stream:
                assert result == 0
                break
        return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1
