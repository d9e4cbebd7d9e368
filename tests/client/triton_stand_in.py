"""Triton's gRPC interface in this process, with models whose scores are known and faults on demand.

It tests what a client does; the tests with the real server test that they understand each other.
"""

from __future__ import annotations

import json
import mmap
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import serialize_byte_tensor

from fiqa_fast.pipeline import FaceFinder
from fiqa_fast.provenance import Provenance
from fiqa_fast.serving.find_face import find_face
from fiqa_fast.types import FailedImage

_KINDS = {np.dtype(np.float32): "FP32", np.dtype(object): "BYTES"}
SHARED_MEMORY = Path("/dev/shm")
Outputs = Mapping[str, np.ndarray]


def provenance(scorer: str, outputs: tuple[str, ...] = ("score",), **changes: object) -> Provenance:
    facts = {
        "scorer": scorer,
        "outputs": outputs,
        "default_output": outputs[-1],
        "higher_is_better": True,
        "backbone": "sface",
        "weights_sha256": "0" * 64,
        "bn_statistics": "training",
        "variant": "official",
        "parameters": "{}",
        "precision": "float32",
        "device": "cpu",
        "engine": "torch",
        "seed": None,
        "version": "0",
    }
    return Provenance(**{**facts, **changes})


@dataclass
class Model:
    """A model of the stand-in.

    Attributes:
        answer: inputs by name -> outputs by name.
        promise: the parameter `fiqa` of its configuration.
        version: that answers.
        max_batch_size: of its configuration.
    """

    answer: Callable[[Outputs], Outputs]
    promise: str
    version: str = "1"
    max_batch_size: int = 4


def brightness(crops: np.ndarray, columns: int = 1) -> np.ndarray:
    """Scores that can be checked: the mean of each crop, plus 1000 for each further column."""
    means = crops.reshape(len(crops), -1).mean(1, dtype=np.float64)
    return (means[:, None] + 1000 * np.arange(columns)).astype(np.float32)


def crop_model(scorer: str, outputs: tuple[str, ...] = ("score",), **changes: object) -> Model:
    facts = provenance(scorer, outputs, **changes)
    return Model(
        lambda inputs: {"raw_score": brightness(inputs["crops"], len(outputs))}, facts.to_json()
    )


def ensemble_model(*columns: tuple[str, str, Provenance]) -> Model:
    """The ensemble, with columns of (model, output, provenance); it takes crops as they are."""
    finder = FaceFinder(None)

    def answer(inputs: Outputs) -> Outputs:
        (data,) = inputs["image"].flat
        face = find_face(finder, data)
        failed = isinstance(face, FailedImage)
        raw = np.full((1, len(columns)), np.nan, np.float32)
        if not failed:
            raw = brightness(face.crop[None], len(columns))
        return {
            "raw_score": raw,
            "box": np.full((1, 4), np.nan if failed else 7, np.float32),
            "landmarks": np.full((1, 5, 2), np.nan if failed else 8, np.float32),
            "confidence": np.full((1, 1), np.nan if failed else 0.9, np.float32),
            "status": _text("failed" if failed else "ok"),
            "reason": _text(str(face.reason) if failed else ""),
            "note": _text(face.message if failed else face.note),
        }

    promise = [
        {"model": model, "output": output, "provenance": asdict(facts)}
        for model, output, facts in columns
    ]
    return Model(answer, json.dumps(promise))


@dataclass
class TritonStandIn(service_pb2_grpc.GRPCInferenceServiceServicer):
    """The server. Use it as a context manager.

    Attributes:
        models: by name.
        faults: (status, message), given to the next requests for scores instead of an answer.
        delay_s: of each answer.
        token: that requests must carry.
        tls: (key, certificate), PEM.
        seen: of each request for scores: model, timeout parameter, seconds to its deadline.
        most_at_a_time: requests for scores.
        configs_read: names of the models whose configuration was asked for.
        registered: names of all regions of shared memory so far.
    """

    models: dict[str, Model]
    faults: deque[tuple[grpc.StatusCode, str]] = field(default_factory=deque)
    delay_s: float = 0.0
    token: str | None = None
    tls: tuple[bytes, bytes] | None = None
    port: int = 0
    seen: list[tuple[str, int, float]] = field(default_factory=list)
    most_at_a_time: int = 0
    configs_read: list[str] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._regions: dict[str, mmap.mmap] = {}
        self._lock = threading.Lock()
        self._at_a_time = 0

    def __enter__(self) -> TritonStandIn:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    def start(self) -> None:
        self._pool = ThreadPoolExecutor(16)
        self._server = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        place = f"localhost:{self.port}"
        if self.tls is None:
            self.port = self._server.add_insecure_port(place)
        else:
            self.port = self._server.add_secure_port(place, grpc.ssl_server_credentials([self.tls]))
        self._server.start()

    def stop(self) -> None:
        """Ends it at once, with all requests in flight; `start` brings it back on its port."""
        self._server.stop(grace=None).wait()
        self._pool.shutdown()
        for memory in self._regions.values():
            memory.close()
        self._regions.clear()

    @property
    def regions(self) -> list[str]:
        return list(self._regions)

    def RepositoryIndex(self, request, context):  # noqa: N802
        self._check(context)
        answer = pb.RepositoryIndexResponse()
        for name, model in self.models.items():
            answer.models.add(name=name, version=model.version, state="READY")
        answer.models.add(name="unloaded", version="1", state="UNAVAILABLE")
        return answer

    def ModelConfig(self, request, context):  # noqa: N802
        self._check(context)
        self.configs_read.append(request.name)
        model = self._model(request.name, context)
        answer = pb.ModelConfigResponse()
        answer.config.name = request.name
        answer.config.max_batch_size = model.max_batch_size
        if model.promise:
            answer.config.parameters["fiqa"].string_value = model.promise
        return answer

    def ModelInfer(self, request, context):  # noqa: N802
        self._check(context)
        timeout = request.parameters["timeout"].int64_param
        with self._lock:
            self.seen.append((request.model_name, timeout, context.time_remaining()))
            self._at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self._at_a_time)
            fault = self.faults.popleft() if self.faults else None
        try:
            end = time.monotonic() + self.delay_s
            while context.is_active() and time.monotonic() < end:
                time.sleep(0.005)
            if fault:
                context.abort(*fault)
            model = self._model(request.model_name, context)
            outputs = model.answer(self._inputs(request, context))
        finally:
            with self._lock:
                self._at_a_time -= 1
        answer = pb.ModelInferResponse(model_name=request.model_name, model_version=model.version)
        for wanted in request.outputs:
            array = outputs[wanted.name]
            answer.outputs.add(name=wanted.name, datatype=_KINDS[array.dtype], shape=array.shape)
            raw = serialize_byte_tensor(array).item() if array.dtype == object else array.tobytes()
            answer.raw_output_contents.append(raw)
        return answer

    def SystemSharedMemoryRegister(self, request, context):  # noqa: N802
        path = SHARED_MEMORY / request.key.lstrip("/")
        if request.name in self._regions or not path.exists():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"cannot register {request.name}")
        self.registered.append(request.name)
        with path.open("r+b") as file:
            self._regions[request.name] = mmap.mmap(file.fileno(), request.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    def SystemSharedMemoryUnregister(self, request, context):  # noqa: N802
        if request.name in self._regions:
            self._regions.pop(request.name).close()
        return pb.SystemSharedMemoryUnregisterResponse()

    def _inputs(self, request, context) -> Outputs:
        inputs, contents = {}, iter(request.raw_input_contents)
        for tensor in request.inputs:
            if "shared_memory_region" in tensor.parameters:
                region = tensor.parameters["shared_memory_region"].string_param
                if region not in self._regions:
                    message = f"Unable to find shared memory region: '{region}'"
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
                size = tensor.parameters["shared_memory_byte_size"].int64_param
                content = self._regions[region][:size]
            else:
                content = next(contents)
            if tensor.datatype == "BYTES":
                inputs[tensor.name] = np.array([content[4:]], dtype=object)
            else:
                inputs[tensor.name] = np.frombuffer(content, np.uint8).reshape(tensor.shape)
        return inputs

    def _model(self, name: str, context) -> Model:
        if name not in self.models:
            message = f"Request for unknown model: '{name}' is not found"
            context.abort(grpc.StatusCode.NOT_FOUND, message)
        return self.models[name]

    def _check(self, context) -> None:
        sent = dict(context.invocation_metadata()).get("authorization")
        if self.token is not None and sent != f"Bearer {self.token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid token")


def _text(text: str) -> np.ndarray:
    return np.array([[text.encode()]], dtype=object)
