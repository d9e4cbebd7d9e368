"""One real server for all tests; where `make serve-env` was forgotten they fail and say so."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from fiqa_fast.serving.repository.build import build_repository
from fiqa_fast.serving.repository.settings import RepositorySettings, parse_settings
from fiqa_fast.serving.server import TritonServer

HERE = Path(__file__).parent

SETTINGS: dict[str, Any] = {
    "scorers": [
        # An execution of these two needs the one core that the server has to give.
        {"scorer": "grafiqs", "rate_limit": {"cores": 1}},
        {"scorer": "faceqan", "options": {"k": 2, "l": 2}, "rate_limit": {"cores": 1}},
        {"scorer": "ser-fiq", "outputs": ["score"], "histogram": [0.5, 0.8]},
        {"scorer": "embedding-norm", "backend": "tensorrt", "embedding": True},
    ],
    "max_batch_size": 8,
    "queue_size": 16,
    "preprocess": {"max_megapixels": 4},
}
AT_START = ("fiqa", "breaking")

Infer = Callable[..., dict[str, np.ndarray]]


@pytest.fixture(scope="session")
def settings() -> RepositorySettings:
    return parse_settings(SETTINGS)


@pytest.fixture(scope="session")
def filled(settings: RepositorySettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with every kind of model; not to be changed."""
    folder = tmp_path_factory.mktemp("repository")
    build_repository(settings, folder)
    return folder


@pytest.fixture(scope="session")
def server(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """The server of the session; whoever changes its state restores it."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(filled, folder / "repository")
    shutil.copytree(HERE / "breaking_model", folder / "repository" / "breaking")
    with TritonServer(
        folder / "repository",
        load=AT_START,
        cache_bytes=16 << 20,
        log_path=folder / "server.log",
        rate_limit={"cores": 1},
        trace_path=folder / "trace.json",
        exit_timeout_s=5,
    ) as running:
        yield running


@pytest.fixture(scope="session")
def grpc(server: TritonServer) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.grpc_address) as client:
        yield client


@pytest.fixture(scope="session")
def infer(grpc: triton.InferenceServerClient) -> Infer:
    """infer(model, input=array, ...) -> outputs by name; further keywords start with "_"."""

    def run(model: str, **arguments: Any) -> dict[str, np.ndarray]:
        options = {name[1:]: v for name, v in arguments.items() if name.startswith("_")}
        arrays = {name: v for name, v in arguments.items() if not name.startswith("_")}
        answer = grpc.infer(model, inputs(**arrays), client_timeout=60, **options)
        return {o.name: answer.as_numpy(o.name) for o in answer.get_response().outputs}

    return run


def inputs(**arrays: Any) -> list[triton.InferInput]:
    """Arrays, or lists of bytes [B, 1], as tritonclient wants them."""
    made = []
    for name, given in arrays.items():
        array = given
        if isinstance(given, list):
            array = np.array(given, dtype=object).reshape(len(given), 1)
        kind = {"object": "BYTES", "uint8": "UINT8", "float32": "FP32"}[str(array.dtype)]
        made.append(triton.InferInput(name, list(array.shape), kind))
        made[-1].set_data_from_numpy(array)
    return made


@pytest.fixture(scope="session")
def as_inputs() -> Callable[..., list[triton.InferInput]]:
    return inputs


@pytest.fixture
def new_crops() -> Callable[[int], np.ndarray]:
    """Crops that no test has sent before, so that no cache answers: uint8 [n, 112, 112, 3]."""

    def make(count: int) -> np.ndarray:
        return np.random.default_rng().integers(0, 256, (count, 112, 112, 3), dtype=np.uint8)

    return make


@pytest.fixture(scope="session")
def settled() -> Callable[[Callable[[], Any]], Any]:
    """Reads statistics, which arrive a moment after the answers, until they stay the same."""

    def read_until_settled(read: Callable[[], Any]) -> Any:
        last = read()
        for _ in range(100):
            time.sleep(0.15)
            now = read()
            if now == last:
                return now
            last = now
        raise AssertionError("statistics never stayed the same")

    return read_until_settled
