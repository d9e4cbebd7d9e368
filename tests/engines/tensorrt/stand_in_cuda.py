"""CUDA as far as the TensorRT runtime uses it through torch: streams, events, pinned memory.

Nothing that is put on a stream happens before somebody waits for it, as on a GPU that is infinitely
slow; new memory holds 0xFF bytes (NaN). So results that are read too early are wrong. Besides, each
access to memory is compared with the earlier ones by vector clocks: two of which one writes must be
ordered by a stream, an event or a wait of the host, or a `StandInError` names them. Luck plays no
part.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

Clock = dict[int, int]
"""For each stream the number of its operations that are done."""

_ADDRESS_STEP = 512  # what torch's allocator aligns to
_real_empty = torch.empty


class StandInError(AssertionError):
    """Something that CUDA or TensorRT forbids, or that makes results depend on luck."""


@dataclass
class Operation:
    """What a stream was given."""

    what: str
    stream: StandInStream
    number: int
    clock: Clock
    waits_for: list[tuple[StandInStream, int]]
    run: Callable[[], None]


@dataclass
class Access:
    """That an operation reads or writes some bytes of a memory."""

    operation: Operation
    start: int
    stop: int
    writes: bool


class Memory:
    """An allocation, on a GPU or pinned on the host."""

    def __init__(self, gpu: StandInGpu, size: int, place: str, stream: StandInStream | None):
        self.raw = _real_empty(max(size, 1), dtype=torch.uint8).fill_(0xFF)
        self.place = place
        self.size = size
        self.address = gpu.next_address(size)
        self.accesses: list[Access] = []
        self.streams = {stream} if stream else set()
        gpu.memories[self.address] = self
        weakref.finalize(self, gpu.freed, self.accesses, self.streams, stream, place)

    def view(self, offset: int, dtype: torch.dtype, shape: Sequence[int]) -> torch.Tensor:
        """A plain tensor of part of it."""
        size = torch.Size(shape).numel() * dtype.itemsize
        return self.raw[offset : offset + size].view(dtype).view(*shape)


class StandInStream:
    """`torch.cuda.Stream`."""

    def __init__(self, device: Any = None, gpu: StandInGpu | None = None) -> None:
        self._gpu = gpu or current_gpu()
        self.device = self._gpu.device(device)
        self.cuda_stream = next(self._gpu.handles)
        self.operations: list[Operation] = []
        self.done = 0
        self.clock: Clock = {}
        self._pending: list[tuple[StandInStream, int]] = []
        self._gpu.streams[self.cuda_stream] = self

    def put(self, what: str, run: Callable[[], None]) -> Operation:
        """Appends an operation."""
        gpu = self._gpu
        with gpu.lock:
            self.clock = _merged(self.clock, gpu.host_clock)
            number = len(self.operations) + 1
            self.clock[self.cuda_stream] = number
            operation = Operation(what, self, number, dict(self.clock), self._pending, run)
            self._pending = []
            self.operations.append(operation)
            return operation

    def wait_event(self, event: StandInEvent) -> None:
        if event.recorded is None:
            raise StandInError("wait_event: the event was never recorded: nothing is waited for")
        with self._gpu.lock:
            self._pending.append(event.recorded)
            self.clock = _merged(self.clock, event.clock)

    def wait_stream(self, stream: StandInStream) -> None:
        event = StandInEvent()
        event.record(stream)
        self.wait_event(event)

    def synchronize(self) -> None:
        with self._gpu.lock:
            self.finish(len(self.operations))
            self._gpu.host_clock = _merged(self._gpu.host_clock, self.clock)
        self._gpu.check()

    def finish(self, number: int) -> None:
        """Runs the operations up to a number, and what they wait for."""
        while self.done < number:
            operation = self.operations[self.done]
            self.done += 1
            for stream, needed in operation.waits_for:
                stream.finish(needed)
            operation.run()


class StandInEvent:
    """`torch.cuda.Event`."""

    def __init__(self) -> None:
        self._gpu = current_gpu()
        self.recorded: tuple[StandInStream, int] | None = None
        self.clock: Clock = {}

    def record(self, stream: StandInStream | None = None) -> None:
        stream = stream or self._gpu.current_stream()
        with self._gpu.lock:
            stream.put("record", lambda: None)  # carries what the stream waits for
            self.recorded = (stream, len(stream.operations))
            self.clock = dict(stream.clock)

    def synchronize(self) -> None:
        if self.recorded is None:
            raise StandInError("synchronize: the event was never recorded: nothing is waited for")
        with self._gpu.lock:
            stream, number = self.recorded
            stream.finish(number)
            self._gpu.host_clock = _merged(self._gpu.host_clock, self.clock)
        self._gpu.check()


@dataclass
class StandInGpu:
    """The machine: `devices` GPUs of one compute capability."""

    devices: int = 2
    capability: tuple[int, int] = (8, 6)
    lock: Any = field(default_factory=threading.RLock)
    host_clock: Clock = field(default_factory=dict)
    streams: dict[int, StandInStream] = field(default_factory=dict)
    memories: Any = field(default_factory=weakref.WeakValueDictionary)
    errors: list[str] = field(default_factory=list)
    handles: Iterator[int] = field(default_factory=lambda: itertools.count(0x1000, 8))

    def __post_init__(self) -> None:
        self._address = 0x7F00_0000_0000
        self._local = threading.local()
        self._default = {
            i: StandInStream(torch.device("cuda", i), self) for i in range(self.devices)
        }

    # Called by torch's names below

    def device(self, device: Any = None) -> torch.device:
        if device is None:
            return torch.device("cuda", self.current_device())
        device = torch.device(device)
        index = self.current_device() if device.index is None else device.index
        if device.type != "cuda" or index >= self.devices:
            raise StandInError(f"there is no device {device}")
        return torch.device("cuda", index)

    def current_device(self) -> int:
        return getattr(self._local, "device", 0)

    def current_stream(self, device: Any = None) -> StandInStream:
        index = self.device(device).index
        return getattr(self._local, "streams", {}).get(index, self._default[index])

    @contextmanager
    def on_device(self, device: Any) -> Iterator[None]:
        before = self.current_device()
        self._local.device = self.device(device).index
        try:
            yield
        finally:
            self._local.device = before

    @contextmanager
    def on_stream(self, stream: StandInStream) -> Iterator[None]:
        streams = getattr(self._local, "streams", {})
        self._local.streams = {**streams, stream.device.index: stream}
        try:
            with self.on_device(stream.device):
                yield
        finally:
            self._local.streams = streams

    def empty(self, *size: Any, pin_memory: bool = False, device: Any = None, **others: Any) -> Any:
        """`torch.empty`."""
        on_gpu = device is not None and torch.device(device).type == "cuda"
        if not on_gpu and not pin_memory:
            return _real_empty(*size, device=device, **others)
        shape = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
        dtype = others.pop("dtype", torch.float32)
        if others:
            raise StandInError(f"torch.empty: the stand-in does not know {sorted(others)}")
        place = str(self.device(device)) if on_gpu else "pinned"
        stream = self.current_stream(device) if on_gpu else None
        memory = Memory(self, torch.Size(shape).numel() * dtype.itemsize, place, stream)
        if stream is not None:
            # torch hands out memory that work on this stream may still use.
            user = stream.put("the memory's earlier owner", lambda: None)
            self.access(user, memory, 0, memory.size, writes=True)
        return _wrapped(memory.view(0, dtype, shape), memory)

    # Called by the stand-ins

    def next_address(self, size: int) -> int:
        with self.lock:
            address = self._address
            self._address += (size // _ADDRESS_STEP + 2) * _ADDRESS_STEP
            return address

    def find(self, address: int) -> tuple[Memory, int]:
        """The memory that holds an address, and the offset in it."""
        for start, memory in list(self.memories.items()):
            if start <= address < start + max(memory.size, 1):
                return memory, address - start
        raise StandInError(f"address {address:#x} is in no memory that is still allocated")

    def access(
        self, operation: Operation, memory: Memory, start: int, stop: int, *, writes: bool
    ) -> None:
        """Notes that an operation uses memory, and that it is ordered behind earlier uses."""
        with self.lock:
            for earlier in memory.accesses:
                overlap = earlier.start < stop and start < earlier.stop
                before = earlier.operation
                ordered = operation.clock.get(before.stream.cuda_stream, 0) >= before.number
                if overlap and (writes or earlier.writes) and not ordered:
                    raise StandInError(
                        f"race: {operation.what} and {before.what} use the same {memory.place}"
                        " memory and nothing orders them"
                    )
            memory.accesses.append(Access(operation, start, stop, writes))

    def host_access(self, memory: Memory, start: int, stop: int, what: str) -> None:
        """The host reads or writes: everything that was begun on that memory must be waited for."""
        with self.lock:
            for earlier in memory.accesses:
                before = earlier.operation
                known = self.host_clock.get(before.stream.cuda_stream, 0) >= before.number
                if earlier.start < stop and start < earlier.stop and not known:
                    raise StandInError(f"{what}: the host did not wait for {before.what}")

    def freed(
        self,
        accesses: list[Access],
        streams: set[StandInStream],
        allocated_on: StandInStream | None,
        place: str,
    ) -> None:
        """A memory is given back: no other stream may still use it."""
        with self.lock:
            for access in accesses:
                stream, number = access.operation.stream, access.operation.number
                clocks = [self.host_clock] + ([allocated_on.clock] if allocated_on else [])
                done = any(c.get(stream.cuda_stream, 0) >= number for c in clocks)
                if allocated_on is not None and stream not in streams and not done:
                    self.errors.append(
                        f"{place} memory was freed while {access.operation.what} may use it on"
                        " another stream (record_stream)"
                    )

    def check(self) -> None:
        """Reports what went wrong where nothing could be raised."""
        if self.errors:
            raise StandInError("; ".join(self.errors))


def install(monkeypatch: Any, gpu: StandInGpu) -> None:
    """Puts the stand-in in the place of torch's CUDA."""
    monkeypatch.setitem(globals(), "_gpu", gpu)
    monkeypatch.setattr(torch, "empty", gpu.empty)
    for name, stands_in in {
        "Stream": StandInStream,
        "Event": StandInEvent,
        "stream": gpu.on_stream,
        "device": gpu.on_device,
        "current_stream": gpu.current_stream,
        "current_device": gpu.current_device,
        "is_available": lambda: True,
        "device_count": lambda: gpu.devices,
        "get_device_capability": lambda device=None: gpu.capability,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stands_in)


_gpu: StandInGpu | None = None


def current_gpu() -> StandInGpu:
    assert _gpu is not None, "install() first"
    return _gpu


def _merged(a: Clock, b: Clock) -> Clock:
    return {s: max(a.get(s, 0), b.get(s, 0)) for s in a.keys() | b.keys()}


class StandInTensor(torch.Tensor):
    """A tensor on the GPU, or in pinned memory. Knows the few operations that the runtime needs."""

    memory: Memory
    raw: torch.Tensor

    def record_stream(self, stream: StandInStream) -> None:
        self.memory.streams.add(stream)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.__self__.__name__ if func.__name__ == "__get__" else func.__name__
        known = globals().get(f"_op_{name.strip('_')}")
        if known is None:
            raise StandInError(
                f"the stand-in has no {name} for tensors on a GPU or in pinned memory"
            )
        with torch._C.DisableTorchFunctionSubclass():
            return known(*args, **(kwargs or {}))


def device_tensor(values: torch.Tensor, device: str) -> StandInTensor:
    """Values on a GPU, as a caller of the runtime may have them: made by the current stream."""
    gpu = current_gpu()
    tensor = gpu.empty(values.shape, dtype=values.dtype, device=device)
    into, made = _raw(tensor), values.clone()
    _enqueue("the caller's own work", [], [tensor], lambda: into.copy_(made))
    return tensor


def read_back(tensor: StandInTensor) -> torch.Tensor:
    """The values, after waiting for the current stream, as `tensor.cpu()` does it."""
    gpu = current_gpu()
    values: list[torch.Tensor] = []
    raw = _raw(tensor)
    _enqueue("cpu()", [tensor], [], lambda: values.append(raw.clone()))
    gpu.current_stream(_device(tensor)).synchronize()
    return values[0]


def _wrapped(raw: torch.Tensor, memory: Memory) -> StandInTensor:
    tensor = torch.Tensor._make_subclass(StandInTensor, raw)
    tensor.memory, tensor.raw = memory, raw
    return tensor


def _raw(tensor: StandInTensor) -> torch.Tensor:
    """The plain tensor; unlike a view of the other one, it does not keep the memory allocated."""
    return tensor.raw


def _device(tensor: StandInTensor) -> torch.device:
    place = tensor.memory.place
    return torch.device("cpu" if place == "pinned" else place)


def _range(tensor: StandInTensor) -> tuple[int, int]:
    raw = _raw(tensor)
    with torch._C.DisableTorchFunctionSubclass():
        start = raw.storage_offset() * raw.dtype.itemsize
        return start, start + raw.numel() * raw.dtype.itemsize


def _enqueue(
    what: str,
    reads: list[StandInTensor],
    writes: list[StandInTensor],
    run: Callable[[], Any],
) -> None:
    """On the current stream of the tensors' device."""
    gpu = current_gpu()
    device = next(t for t in (*reads, *writes) if _device(t).type == "cuda")
    operation = gpu.current_stream(_device(device)).put(what, run)
    for tensors, is_write in ((reads, False), (writes, True)):
        for tensor in tensors:
            gpu.access(operation, tensor.memory, *_range(tensor), writes=is_write)


def _fresh_like(raw: torch.Tensor, device: torch.device) -> StandInTensor:
    return current_gpu().empty(raw.shape, dtype=raw.dtype, device=device)


# The operations, by torch's names without underscores; torch's own dispatch is off in them.


def _op_shape(tensor: StandInTensor) -> torch.Size:
    return _raw(tensor).shape


def _op_dtype(tensor: StandInTensor) -> torch.dtype:
    return _raw(tensor).dtype


def _op_device(tensor: StandInTensor) -> torch.device:
    return _device(tensor)


def _op_len(tensor: StandInTensor) -> int:
    return len(_raw(tensor))


def _op_repr(tensor: StandInTensor, **_: Any) -> str:
    return f"<{tensor.memory.place} tensor {list(_raw(tensor).shape)}>"


def _op_getitem(tensor: StandInTensor, index: Any) -> StandInTensor:
    if not isinstance(index, slice):
        raise StandInError(f"the stand-in knows slices of rows only, got [{index!r}]")
    return _wrapped(_raw(tensor)[index], tensor.memory)


def _op_expand(tensor: StandInTensor, *shape: int) -> StandInTensor:
    return _wrapped(_raw(tensor).expand(*shape), tensor.memory)


def _op_contiguous(tensor: StandInTensor) -> StandInTensor:
    return tensor if _raw(tensor).is_contiguous() else _op_clone(tensor)


def _op_clone(tensor: StandInTensor) -> StandInTensor:
    return _op_cat([tensor])


def _op_cat(tensors: Sequence[StandInTensor]) -> StandInTensor:
    sources = [_raw(t) for t in tensors]
    made = _fresh_like(torch.cat(sources), _device(tensors[0]))
    into = _raw(made)  # operations must not keep memory alive
    _enqueue("cat or clone", list(tensors), [made], lambda: into.copy_(torch.cat(sources)))
    return made


def _op_copy(to: Any, source: Any, non_blocking: bool = False) -> Any:
    for tensor in (to, source):
        if not isinstance(tensor, StandInTensor):
            raise StandInError("copy_: memory on the host must be pinned, or the copy blocks")
        if not _raw(tensor).is_contiguous():
            raise StandInError("copy_: both tensors must be contiguous, or the copy blocks")
    if not non_blocking:
        raise StandInError("copy_: blocks without non_blocking=True")
    into, values = _raw(to), _raw(source)
    if into.shape != values.shape or into.dtype != values.dtype:
        raise StandInError(f"copy_: {list(values.shape)} does not fit {list(into.shape)}")
    direction = f"the copy {to.memory.place} <- {source.memory.place}"
    _enqueue(direction, [source], [to], lambda: into.copy_(values))
    return to


def _op_data_ptr(tensor: StandInTensor) -> int:
    if not _raw(tensor).is_contiguous():
        raise StandInError("data_ptr: TensorRT reads linear memory, the tensor is not contiguous")
    return tensor.memory.address + _range(tensor)[0]


def _op_numpy(tensor: StandInTensor) -> Any:
    if tensor.memory.place != "pinned":
        raise StandInError("numpy: the tensor is on a GPU")
    current_gpu().host_access(tensor.memory, *_range(tensor), "numpy")
    return _raw(tensor).numpy()
