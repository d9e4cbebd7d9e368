"""Pixels in memory that client and server share, instead of inside the messages.

A request takes a region for itself and gives it back with the answer. A region whose request ended
without an answer is never used again: the server may still read it.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fiqa_fast.client.connection import Connection
from fiqa_fast.client.errors import (
    RequestRefusedError,
    ServerError,
    ServerFailedError,
    ServerUnavailableError,
)
from fiqa_fast.client.options import SharedMemory
from fiqa_fast.client.packages import import_package
from fiqa_fast.client.request import Placement, Request
from fiqa_fast.errors import UnavailableError

_FOLDER = Path("/dev/shm")  # where shm_open looks on Linux
_LEAST_BYTES = 1 << 20
_UNREGISTER_TIMEOUT_S = 5.0
_numbers = itertools.count()


class Region(ABC):
    """Memory of a size, under a name; both sides see what is written.

    Attributes:
        name: under which the server knows it.
        size: in bytes.
        generation: of the pool, when it was registered.
    """

    is_cuda = False

    def __init__(self, size: int) -> None:
        self.name = f"fiqa-{os.getpid()}-{next(_numbers)}-{os.urandom(4).hex()}"
        self.size = size
        self.generation = 0

    @abstractmethod
    async def register(self, connection: Connection, timeout_s: float) -> None:
        """Tells the server."""

    @abstractmethod
    def write(self, content: memoryview) -> None:
        """Puts bytes at its beginning."""

    @abstractmethod
    def free(self) -> None:
        """Gives the memory back on this side."""


class SystemRegion(Region):
    """Memory of the machine.

    Its name in the file system goes as soon as the server has opened it: nothing stays behind, not
    even when this process is killed.

    Raises:
        UnavailableError: there is no room for it.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._path = _FOLDER / self.name
        try:
            file = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except OSError as error:
            raise _no_memory(size, error) from error
        try:
            os.posix_fallocate(file, 0, size)  # a full /dev/shm is told here, not by SIGBUS later
            self._memory = mmap.mmap(file, size)
        except OSError as error:
            self._path.unlink()
            raise _no_memory(size, error) from error
        finally:
            os.close(file)

    async def register(self, connection: Connection, timeout_s: float) -> None:
        """Tells the server, then takes the name out of the file system."""
        try:
            await connection.register_system_memory(
                self.name, f"/{self.name}", self.size, timeout_s
            )
        finally:
            self._path.unlink()

    def write(self, content: memoryview) -> None:
        """Puts bytes at its beginning."""
        self._memory[: content.nbytes] = content

    def free(self) -> None:
        """Unmaps it."""
        self._memory.close()


class CudaRegion(Region):
    """Memory of GPU 0, through tritonclient and cuda-python. It has never run on a GPU.

    Raises:
        UnavailableError: cuda-python is not installed, or there is no GPU.
    """

    is_cuda = True
    _DEVICE = 0

    def __init__(self, size: int) -> None:
        super().__init__(size)
        try:
            self._cuda = import_package("tritonclient.utils.cuda_shared_memory")
            self._handle: Any = self._cuda.create_shared_memory_region(
                self.name, size, self._DEVICE
            )
        except UnavailableError:
            raise
        except Exception as error:  # tritonclient's own kinds: no cuda-python, no GPU
            raise UnavailableError(
                f"client: expected memory of GPU {self._DEVICE}, got {error}; install cuda-python"
                " on a machine with a GPU, or use shared_memory='system' or 'none'"
            ) from error

    async def register(self, connection: Connection, timeout_s: float) -> None:
        """Tells the server."""
        handle = self._cuda.get_raw_handle(self._handle)
        await connection.register_cuda_memory(self.name, handle, self._DEVICE, self.size, timeout_s)

    def write(self, content: memoryview) -> None:
        """Copies bytes to the GPU."""
        self._cuda.set_shared_memory_region(self._handle, [np.frombuffer(content, np.uint8)])

    def free(self) -> None:
        """Frees it."""
        self._cuda.destroy_shared_memory_region(self._handle)


class RegionPool:
    """The regions of one client: as many as it had requests at a time.

    Args:
        kind: "none": requests stay as they are.
        connection: to the server.
    """

    def __init__(self, kind: SharedMemory, connection: Connection) -> None:
        self._kind = kind
        self._connection = connection
        self._idle: list[Region] = []
        self._generation = 0
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Uses no region again that there is: the successor of a server knows none of them."""
        self._generation += 1

    @asynccontextmanager
    async def placed(self, request: Request, timeout_s: float) -> AsyncIterator[Request]:
        """The request with its input in shared memory, until its answer is there."""
        if self._kind == "none":
            yield request
            return
        content = request.content
        size = content.nbytes
        region = await self._take(size, timeout_s)
        is_read = False
        try:
            region.write(content)
            yield replace(request, placement=Placement(region.name, size))
            is_read = True
        except (RequestRefusedError, ServerFailedError) as error:
            if region.name in str(error):  # another server has come in the place of the first
                raise ServerUnavailableError(str(error), error.status) from error
            is_read = True
            raise
        finally:
            if is_read:
                with self._lock:
                    self._idle.append(region)
            else:
                await self._drop(region)

    async def close(self) -> None:
        """Frees all regions and tells the server, if it is still there."""
        while self._idle:
            await self._drop(self._idle.pop())

    async def _take(self, size: int, timeout_s: float) -> Region:
        """An idle region that is large enough, or a new one."""
        with self._lock:
            region = self._idle.pop() if self._idle else None
        if region is not None:
            if region.size >= size and region.generation == self._generation:
                return region
            await self._drop(region)
        region = _KINDS[self._kind](max(_LEAST_BYTES, 1 << (size - 1).bit_length()))
        region.generation = self._generation
        try:
            await region.register(self._connection, timeout_s)
        except BaseException:
            region.free()
            raise
        return region

    async def _drop(self, region: Region) -> None:
        region.free()
        with contextlib.suppress(ServerError):  # it is gone, and with it what it knew
            await self._connection.unregister_memory(
                region.name, cuda=region.is_cuda, timeout_s=_UNREGISTER_TIMEOUT_S
            )


_KINDS: dict[SharedMemory, type[Region]] = {"system": SystemRegion, "cuda": CudaRegion}


def _no_memory(size: int, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"client: expected {size} bytes of shared memory in {_FOLDER}, got {error.strerror}; make"
        " it larger, or use shared_memory='none'"
    )
