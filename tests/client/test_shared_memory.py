import asyncio
import errno
import os
import sys
from pathlib import Path
from types import ModuleType

import grpc
import numpy as np
import pytest
import triton_stand_in

from fiqa_fast.client import AsyncFiqaClient, DeadlineError, FiqaClient, RequestRefusedError
from fiqa_fast.client.request import Request
from fiqa_fast.client.shared_memory import RegionPool
from fiqa_fast.client.waiting import run_blocking
from fiqa_fast.errors import UnavailableError


@pytest.fixture(autouse=True)
def nothing_stays_behind():
    """No segment of ours in /dev/shm afterwards."""
    yield
    assert _segments() == []


def _segments():
    return [path.name for path in Path("/dev/shm").glob(f"fiqa-{os.getpid()}-*")]


def _mapped():
    """How many segments, with or without a name, this process has mapped."""
    return Path("/proc/self/maps").read_text().count(f"/dev/shm/fiqa-{os.getpid()}-")


def test_scores_are_those_of_messages(ask, options, some_crops):
    messages, memory = options(), options(shared_memory="system")
    crops = ask(messages, "score_crops", some_crops)
    assert ask(memory, "score_crops", some_crops) == crops
    of_images = ask(memory, "score_images", list(some_crops))
    assert [row.score for row in of_images] == [score for scores in crops for score in scores]


def test_regions_are_few_nameless_and_given_back(options, stand_in, some_crops):
    before = _mapped()
    with FiqaClient(options(shared_memory="system", in_flight=2)) as client:
        client.score_images([some_crops[n % 10] for n in range(30)])
        assert _segments() == []
        assert 1 <= len(stand_in.regions) <= 2
        assert _mapped() - before == 2 * len(stand_in.regions)  # here and in the stand-in
    assert stand_in.regions == []
    assert _mapped() == before


def test_a_larger_image_gets_a_larger_region(options, stand_in, some_crops):
    large = np.random.default_rng(0).integers(0, 256, (1100, 1000, 3), dtype=np.uint8)
    with FiqaClient(options(shared_memory="system", in_flight=1)) as client:
        rows = client.score_images([some_crops[0], large, some_crops[0]], ["ser-fiq"])
        assert len(stand_in.regions) == 1
    assert rows[0].score == rows[2].score
    assert {row.status for row in rows} == {"ok"}


def test_a_server_that_comes_back_gets_new_regions(options, stand_in, some_crops):
    patient = options(shared_memory="system", retries=20, backoff_s=0.1)
    with FiqaClient(patient) as client:
        before = client.score_crops(some_crops)
        first = set(stand_in.regions)
        stand_in.stop()
        stand_in.start()
        assert client.score_crops(some_crops) == before
        assert stand_in.regions
        assert not first & set(stand_in.regions)


def test_a_region_that_may_still_be_read_is_not_used_again(options, stand_in, some_crops):
    stand_in.delay_s = 0.5
    with FiqaClient(options(shared_memory="system", timeout_s=0.2)) as client:
        with pytest.raises(DeadlineError):
            client.score_crops(some_crops[:1], ["ser-fiq"])
        assert len(stand_in.registered) == 1
        assert stand_in.regions == []
        stand_in.delay_s = 0.0
        client.score_crops(some_crops[:1], ["ser-fiq"])
        assert len(set(stand_in.registered)) == 2


def test_a_cancelled_task_gives_its_region_back(options, stand_in, some_crops):
    stand_in.delay_s = 5.0

    async def run():
        async with AsyncFiqaClient(options(shared_memory="system")) as client:
            task = asyncio.create_task(client.score_crops(some_crops[:1], ["ser-fiq"]))
            while not stand_in.seen:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert len(stand_in.registered) == 1
    assert stand_in.regions == []


def test_a_refused_request_leaves_its_region_for_the_next(options, stand_in, some_crops):
    stand_in.faults.append((grpc.StatusCode.INVALID_ARGUMENT, "no"))
    with FiqaClient(options(shared_memory="system")) as client:
        with pytest.raises(RequestRefusedError):
            client.score_crops(some_crops[:1], ["ser-fiq"])
        (region,) = stand_in.regions
        client.score_crops(some_crops[:1], ["ser-fiq"])
        assert stand_in.regions == [region]


def test_a_server_that_cannot_see_the_memory(options, some_crops, monkeypatch):
    monkeypatch.setattr(triton_stand_in, "SHARED_MEMORY", Path("/elsewhere"))
    with (
        FiqaClient(options(shared_memory="system")) as client,
        pytest.raises(RequestRefusedError, match="cannot register"),
    ):
        client.score_crops(some_crops[:1], ["ser-fiq"])


def test_a_full_memory_is_told(options, some_crops, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with (
        FiqaClient(options(shared_memory="system")) as client,
        pytest.raises(UnavailableError, match="No space left"),
    ):
        client.score_crops(some_crops[:1], ["ser-fiq"])


def test_memory_of_a_gpu_needs_a_gpu(options, some_crops):
    with (
        FiqaClient(options(shared_memory="cuda")) as client,
        pytest.raises(UnavailableError, match="cuda-python"),
    ):
        client.score_crops(some_crops[:1], ["ser-fiq"])


class CudaConnection:
    """Takes note of what the server would be told of a GPU's memory."""

    def __init__(self):
        self.told = []

    async def register_cuda_memory(self, name, handle, device, size, timeout_s):
        self.told.append(("register", handle, device, size))

    async def unregister_memory(self, name, *, cuda, timeout_s):
        self.told.append(("unregister", cuda))


def test_memory_of_a_gpu_is_used_as_tritonclient_wants_it(monkeypatch, some_crops):
    """With a module in the place of tritonclient's: it has never run on a GPU."""
    cuda, held, freed = ModuleType("cuda_shared_memory"), {}, []
    cuda.create_shared_memory_region = lambda name, size, device: (name, size, device)
    cuda.get_raw_handle = lambda region: b"handle"
    cuda.set_shared_memory_region = lambda region, arrays: held.update({region: arrays})
    cuda.destroy_shared_memory_region = freed.append
    monkeypatch.setitem(sys.modules, "tritonclient.utils.cuda_shared_memory", cuda)
    connection = CudaConnection()
    pool = RegionPool("cuda", connection)

    async def use():
        request = Request("ser_fiq", "crops", some_crops, ("raw_score",))
        for _ in range(2):
            async with pool.placed(request, 1.0) as placed:
                assert placed.placement.size == some_crops.nbytes
        await pool.close()

    run_blocking(use())
    ((region, (content,)),) = held.items()
    assert np.array_equal(content, some_crops.reshape(-1))
    assert freed == [region]
    assert connection.told == [("register", b"handle", 0, 1 << 20), ("unregister", True)]
