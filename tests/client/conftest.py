"""A server in this process, a real one for the whole session, and both clients under one name."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # triton_stand_in

from triton_stand_in import (
    TritonStandIn,
    crop_model,
    ensemble_model,
    provenance,
)

from fiqa_fast.client import AsyncFiqaClient, ClientOptions, FiqaClient
from fiqa_fast.serving.repository.build import build_repository
from fiqa_fast.serving.repository.settings import parse_settings
from fiqa_fast.serving.server import TritonServer

SERVED = {
    "scorers": [{"scorer": "embedding-norm"}, {"scorer": "grafiqs"}, {"scorer": "ser-fiq"}],
    "ensemble": ["embedding_norm", "grafiqs"],
}
GRAFIQS_OUTPUTS = ("image", "b2")
Ask = Callable[..., Any]


@pytest.fixture
def stand_in() -> Iterator[TritonStandIn]:
    models = {
        "ser_fiq": crop_model("ser-fiq"),
        "grafiqs": crop_model("grafiqs", GRAFIQS_OUTPUTS),
        "fiqa": ensemble_model(
            ("ser_fiq", "score", provenance("ser-fiq")),
            ("grafiqs", "b2", provenance("grafiqs", GRAFIQS_OUTPUTS)),
        ),
    }
    with TritonStandIn(models) as server:
        yield server


@pytest.fixture
def options(stand_in: TritonStandIn) -> Callable[..., ClientOptions]:
    """Options for the server of this process, with short pauses."""

    def make(**changes: Any) -> ClientOptions:
        return ClientOptions(**{"address": stand_in.address, "backoff_s": 0.01, **changes})

    return make


@pytest.fixture(params=["blocking", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Calls a method of one of the clients: ask(options, name, arguments...)."""
    return _ask_blocking if request.param == "blocking" else _ask_async


@pytest.fixture
def some_crops() -> np.ndarray:
    """uint8 [10, 112, 112, 3], each of another brightness."""
    noise = np.random.default_rng(0).integers(0, 20, (10, 112, 112, 3))
    return (noise + 20 * np.arange(10)[:, None, None, None]).astype(np.uint8)


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A real server, for all tests; whoever stops it starts it again."""
    folder = tmp_path_factory.mktemp("repository")
    build_repository(parse_settings(SERVED), folder)
    with TritonServer(folder) as server:
        yield server


def _ask_blocking(options: ClientOptions, name: str, *arguments: Any, **named: Any) -> Any:
    with FiqaClient(options) as client:
        result = getattr(client, name)(*arguments, **named)
        return list(result) if name == "score_stream" else result


def _ask_async(options: ClientOptions, name: str, *arguments: Any, **named: Any) -> Any:
    async def run() -> Any:
        async with AsyncFiqaClient(options) as client:
            result = getattr(client, name)(*arguments, **named)
            if name != "score_stream":
                return await result
            async with aclosing(result) as stream:
                return [rows async for rows in stream]

    return asyncio.run(run())
