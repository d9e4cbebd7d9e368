"""TensorRT's Python interface as far as this package uses it, on the stand-in for CUDA.

An engine computes with onnxruntime what its ONNX file says. A plan is either one of this module's
own builder, or a real one of TensorRT-RTX whose ONNX file was named with `know_plan`. Calls are
checked for what the real library demands (order, shapes within the profile, every address set,
aligned and large enough, the right device, one thread for a context), also where the library itself
does not check it.
"""

from __future__ import annotations

import enum
import hashlib
import json
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from stand_in_cuda import Memory, StandInError, current_gpu

_MARK = b"plan of the stand-in\n"
_plans: dict[str, tuple[bytes, dict[str, Any]]] = {}


def know_plan(plan: bytes, graph: bytes, sizes: tuple[int, int, int], refittable: bool) -> None:
    """Says which graph a real plan was built from."""
    settings = {"sizes": sizes, "refittable": refittable}
    _plans[hashlib.sha256(plan).hexdigest()] = (graph, settings)


def make_module(name: str, version: str) -> ModuleType:
    """A module for sys.modules: "tensorrt", or "tensorrt_rtx" without what only that one has."""
    module = ModuleType(name)
    module.__version__ = version
    only_rtx = {"EngineInvalidityDiagnostics", "DynamicShapesKernelSpecializationStrategy"}
    for class_ in CLASSES:
        if name == "tensorrt_rtx" or class_.__name__ not in only_rtx:
            setattr(module, class_.__name__, class_)
    runtime, engine = (RtxRuntime, RtxEngine) if name == "tensorrt_rtx" else (Runtime, ICudaEngine)
    module.Runtime = runtime
    runtime.engine_class = engine
    return module


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None:
        self.is_made = True

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5
    BF16 = 7
    INT64 = 8


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class TensorLocation(enum.Enum):
    DEVICE = 0
    HOST = 1


class EngineInvalidityDiagnostics(enum.IntEnum):
    VERSION_MISMATCH = 1
    UNSUPPORTED_CC = 2
    MALFORMED_ENGINE = 32


class DynamicShapesKernelSpecializationStrategy(enum.Enum):
    LAZY = 0
    EAGER = 1
    NONE = 2


class BuilderFlag(enum.IntEnum):
    REFIT = 4
    TF32 = 6


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1  # in TensorRT 10


class IHostMemory:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def __bytes__(self) -> bytes:
        return self.content


# Build


class Builder:
    def __init__(self, logger: ILogger) -> None:
        self.logger = _checked(logger)

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        if network.graph is None or not config.profiles:
            self.logger.log(ILogger.Severity.ERROR, "Network must have outputs and a profile")
            return None
        shapes = config.profiles[0].shapes
        inputs = {value.name for value in network.graph.graph.input}
        if shapes.keys() != inputs:
            self.logger.log(ILogger.Severity.ERROR, f"no profile for {inputs - shapes.keys()}")
            return None
        batches = {tuple(shape[0] for shape in three) for three in shapes.values()}
        if config.cache is not None:
            config.cache.timings += 1
        settings = {
            "sizes": batches.pop(),
            "flags": sorted(flag.name for flag in config.on),
            "network_flags": network.flags,
            "workspace": config.workspace,
            "refittable": BuilderFlag.REFIT in config.on,
            "device": current_gpu().current_device(),
        }
        graph = network.graph.SerializeToString()
        return IHostMemory(_MARK + json.dumps(settings).encode() + b"\n" + graph)


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.graph: onnx.ModelProto | None = None


class IParserError:
    def __init__(self, index: int, node: onnx.NodeProto | None, text: str) -> None:
        self._index, self._node, self._text = index, node, text

    def node(self) -> int:
        return self._index

    def node_name(self) -> str:
        return self._node.name if self._node else ""

    def node_operator(self) -> str:
        return self._node.op_type if self._node else ""

    def desc(self) -> str:
        return self._text


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network, self._errors = network, list[IParserError]()
        _checked(logger)

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> IParserError:
        return self._errors[index]

    def parse(self, model: bytes) -> bool:
        graph = onnx.load_model_from_string(model)
        for index, node in enumerate(graph.graph.node):
            if not onnx.defs.has(node.op_type):
                self._errors.append(IParserError(index, node, "no such operator"))
        self._network.graph = graph
        return not self._errors


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, list[tuple[int, ...]]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002
        self.shapes[input] = [tuple(min), tuple(opt), tuple(max)]


class ITimingCache:
    def __init__(self, content: bytes) -> None:
        kept = json.loads(content) if content else {"timings": 0}
        self.timings = kept["timings"]
        self.gpu = kept.get("gpu", current_gpu().capability)

    def serialize(self) -> IHostMemory:
        kept = {"timings": self.timings, "gpu": self.gpu}
        return IHostMemory(json.dumps(kept).encode())


class IBuilderConfig:
    def __init__(self) -> None:
        self.on = {BuilderFlag.TF32}
        self.profiles: list[IOptimizationProfile] = []
        self.cache: ITimingCache | None = None
        self.workspace = 2**36

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.on.discard(flag)

    def set_flag(self, flag: BuilderFlag) -> None:
        self.on.add(flag)

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self.workspace = pool_size

    def get_memory_pool_limit(self, pool: MemoryPoolType) -> int:
        return self.workspace

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        fits = ignore_mismatch or tuple(cache.gpu) == current_gpu().capability
        self.cache = cache if fits else None
        return fits

    def get_timing_cache(self) -> ITimingCache | None:
        return self.cache


# Run


class Runtime:
    engine_class: Any

    def __init__(self, logger: ILogger) -> None:
        self.logger = _checked(logger)

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        known = self._graph(serialized_engine)
        if known is None:
            self.logger.log(ILogger.Severity.ERROR, "deserializeCudaEngine: Magic tag mismatch")
            return None
        return self.engine_class(self, *known)

    @staticmethod
    def _graph(plan: bytes) -> tuple[bytes, dict[str, Any]] | None:
        if plan.startswith(_MARK):
            settings, _, graph = plan[len(_MARK) :].partition(b"\n")
            return graph, json.loads(settings)
        return _plans.get(hashlib.sha256(plan).hexdigest())


class RtxRuntime(Runtime):
    def get_engine_validity(self, buffer: bytes) -> tuple[str, int]:
        return "INVALID", int(EngineInvalidityDiagnostics.MALFORMED_ENGINE)


class ICudaEngine:
    def __init__(self, runtime: Runtime, graph: bytes, settings: dict[str, Any]) -> None:
        self._runtime = weakref.ref(runtime)
        self.settings, self.gpu = settings, current_gpu()
        self.device = self.gpu.current_device()
        self.weights = Memory(self.gpu, 1, "weights", None)
        self.contexts: Any = weakref.WeakSet()
        self.load(graph)
        weakref.finalize(self, _engine_freed, self.gpu, self.contexts)

    def load(self, graph: bytes) -> None:
        self.graph = onnx.load_model_from_string(graph).graph
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(graph, options)

    @property
    def num_io_tensors(self) -> int:
        return len(self._values)

    @property
    def _values(self) -> list[onnx.ValueInfoProto]:
        return [*self.graph.input, *self.graph.output]

    def _value(self, name: str) -> onnx.ValueInfoProto:
        return next(v for v in self._values if v.name == name)

    def get_tensor_name(self, index: int) -> str:
        return self._values[index].name

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        is_input = any(v.name == name for v in self.graph.input)
        return TensorIOMode.INPUT if is_input else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        kind = onnx.TensorProto.DataType.Name(self._value(name).type.tensor_type.elem_type)
        return DataType[{"FLOAT16": "HALF", "BFLOAT16": "BF16"}.get(kind, kind)]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        sizes = self._value(name).type.tensor_type.shape.dim
        return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in sizes)

    def get_tensor_location(self, name: str) -> TensorLocation:
        return TensorLocation.DEVICE

    def create_execution_context(self) -> IExecutionContext:
        return self._context()

    def _context(self, runtime_config: IRuntimeConfig | None = None) -> IExecutionContext:
        self.require_device("create_execution_context")
        if self._runtime() is None:
            raise StandInError("create_execution_context: the runtime is gone")
        context = IExecutionContext(self, runtime_config)
        self.contexts.add(context)
        return context

    def require_device(self, what: str) -> None:
        if self.gpu.current_device() != self.device:
            raise StandInError(
                f"{what}: the engine is on device {self.device}, the current one is"
                f" {self.gpu.current_device()}"
            )


class RtxEngine(ICudaEngine):
    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig()

    def create_execution_context(
        self, runtime_config: IRuntimeConfig | None = None
    ) -> IExecutionContext:
        return self._context(runtime_config)


class IRuntimeCache:
    def __init__(self) -> None:
        self.kernels: list[str] = []

    def deserialize(self, blob: bytes) -> bool:
        try:
            self.kernels = json.loads(blob)
        except ValueError:
            return False
        return True

    def serialize(self) -> IHostMemory:
        return IHostMemory(json.dumps(self.kernels).encode())


class IRuntimeConfig:
    def __init__(self) -> None:
        self.dynamic_shapes_kernel_specialization_strategy = (
            DynamicShapesKernelSpecializationStrategy.LAZY
        )
        self.cache: IRuntimeCache | None = None

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache | None = None) -> bool:
        self.cache = cache
        return True


class IExecutionContext:
    def __init__(self, engine: ICudaEngine, runtime_config: IRuntimeConfig | None) -> None:
        self._engine, self.runtime_config = weakref.ref(engine), runtime_config
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._one_thread = threading.Lock()
        self._scratch = Memory(engine.gpu, 1, "scratch", None)

    @property
    def engine(self) -> ICudaEngine:
        engine = self._engine()
        if engine is None:
            raise StandInError("the context outlived its engine")
        return engine

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        with self._alone("set_input_shape"):
            if not isinstance(shape, tuple | list):
                raise TypeError(f"set_input_shape(): incompatible arguments: {type(shape)}")
            engine, shape = self.engine, tuple(shape)
            smallest, _, largest = engine.settings["sizes"]
            row = list(engine.get_tensor_shape(name)[1:])
            fits = len(shape) == 1 + len(row) and list(shape[1:]) == row
            if not fits or not smallest <= shape[0] <= largest:
                engine._runtime().logger.log(
                    ILogger.Severity.ERROR,
                    f"setInputShape: {name} {list(shape)} is outside of the profile"
                    f" [{smallest}..{largest}, {row}]",
                )
                return False
            if self._shapes.get(name) != shape:
                self._addresses.clear()  # buffers of another size: addresses come behind shapes
            self._shapes[name] = shape
            return True

    def infer_shapes(self) -> list[str]:
        with self._alone("infer_shapes"):
            return [v.name for v in self.engine.graph.input if v.name not in self._shapes]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if self.engine.get_tensor_mode(name) == TensorIOMode.INPUT:
            return self._shapes.get(name, self.engine.get_tensor_shape(name))
        batch = next(iter(self._shapes.values()))[0] if self._shapes else -1
        return (batch, *self.engine.get_tensor_shape(name)[1:])

    def set_tensor_address(self, name: str, memory: int) -> bool:
        with self._alone("set_tensor_address"):
            if len(self._shapes) < len(self.engine.graph.input):
                raise StandInError(f"set_tensor_address({name}): shapes must be set before")
            if memory % 256:
                raise StandInError(f"set_tensor_address({name}): {memory:#x} is not aligned to 256")
            self._addresses[name] = memory
            return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        with self._alone("execute_async_v3"):
            engine = self.engine
            engine.require_device("execute_async_v3")
            stream = engine.gpu.streams.get(stream_handle)
            if stream is None or stream.device.index != engine.device:
                raise StandInError(
                    f"execute_async_v3: {stream_handle:#x} is no stream of the device"
                )
            if stream is engine.gpu._default[engine.device]:
                raise StandInError("execute_async_v3: on the default stream the device waits")
            names = [v.name for v in engine._values]
            missing = [n for n in names if n not in self._addresses]
            if missing:
                raise StandInError(f"execute_async_v3: no address of {', '.join(missing)}")
            tensors = {name: self._tensor(name) for name in names}
            inputs = [v.name for v in engine.graph.input]
            session = engine.session

            def compute() -> None:
                feed = {n: tensors[n][2].numpy() for n in inputs}
                found = session.run([n for n in names if n not in inputs], feed)
                for name, values in zip([n for n in names if n not in inputs], found, strict=True):
                    tensors[name][2].copy_(torch.from_numpy(np.ascontiguousarray(values)))

            operation = stream.put("the engine", compute)
            for name, (memory, offset, view) in tensors.items():
                stop = offset + view.nbytes
                engine.gpu.access(operation, memory, offset, stop, writes=name not in inputs)
            engine.gpu.access(operation, self._scratch, 0, 1, writes=True)
            engine.gpu.access(operation, engine.weights, 0, 1, writes=False)
            # An operation must not keep memory alive: it holds the bytes alone.
            tensors = {n: (None, 0, view) for n, (_, _, view) in tensors.items()}
            if self.runtime_config is not None and self.runtime_config.cache is not None:
                self.runtime_config.cache.kernels.append(str(list(self._shapes.values())))
            return True

    def _tensor(self, name: str) -> tuple[Memory, int, torch.Tensor]:
        memory, offset = self.engine.gpu.find(self._addresses[name])
        kind = _TORCH[self.engine.get_tensor_dtype(name)]
        shape = self.get_tensor_shape(name)
        size = torch.Size(shape).numel() * kind.itemsize
        if memory.place != f"cuda:{self.engine.device}" or offset + size > memory.size:
            raise StandInError(
                f"execute_async_v3: {name} needs {size} bytes on cuda:{self.engine.device}, got"
                f" {memory.size - offset} on {memory.place}"
            )
        return memory, offset, memory.view(offset, kind, shape)

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        if not self._one_thread.acquire(blocking=False):
            raise StandInError(f"{what}: two threads use one context")
        try:
            yield
        finally:
            self._one_thread.release()


class Refitter:
    def __init__(self, engine: ICudaEngine, logger: ILogger) -> None:
        self._engine, self.logger = engine, _checked(logger)
        self.graph: bytes | None = None

    def get_missing_weights(self) -> list[str]:
        return [] if self.graph else [t.name for t in self._engine.graph.initializer]

    def refit_cuda_engine(self) -> bool:
        if self.graph is None or not self._engine.settings["refittable"]:
            return False
        memory = self._engine.weights
        self._engine.gpu.host_access(memory, 0, 1, "refit_cuda_engine")
        self._engine.load(self.graph)
        return True


class OnnxParserRefitter:
    def __init__(self, refitter: Refitter, logger: ILogger) -> None:
        self._refitter = refitter
        _checked(logger)

    def refit_from_bytes(self, model: bytes) -> bool:
        graph = onnx.load_model_from_string(model).graph
        before = {t.name: list(t.dims) for t in self._refitter._engine.graph.initializer}
        if {t.name: list(t.dims) for t in graph.initializer} != before:
            self._refitter.logger.log(ILogger.Severity.ERROR, "refit: other weights than in engine")
            return False
        self._refitter.graph = model
        return True


_TORCH = {
    DataType.FLOAT: torch.float32,
    DataType.HALF: torch.float16,
    DataType.INT8: torch.int8,
    DataType.INT32: torch.int32,
    DataType.INT64: torch.int64,
    DataType.BOOL: torch.bool,
    DataType.UINT8: torch.uint8,
}

CLASSES = (
    ILogger,
    DataType,
    TensorIOMode,
    TensorLocation,
    EngineInvalidityDiagnostics,
    DynamicShapesKernelSpecializationStrategy,
    BuilderFlag,
    MemoryPoolType,
    NetworkDefinitionCreationFlag,
    IHostMemory,
    Builder,
    INetworkDefinition,
    OnnxParser,
    IOptimizationProfile,
    ITimingCache,
    IBuilderConfig,
    ICudaEngine,
    IRuntimeCache,
    IRuntimeConfig,
    IExecutionContext,
    Refitter,
    OnnxParserRefitter,
)
"""What stands in for the library's classes of the same names; tests compare their members."""


def _checked(logger: Any) -> Any:
    if not isinstance(logger, ILogger) or not getattr(logger, "is_made", False):
        raise TypeError("expected a logger derived from ILogger whose __init__ was called")
    return logger


def _engine_freed(gpu: Any, contexts: Any) -> None:
    if len(contexts):
        gpu.errors.append("an engine was freed before its contexts")
