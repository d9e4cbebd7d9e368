"""The server as a client sees it: models to ask, and what they say about themselves."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from fiqa_fast.client.connection import Connection, ModelConfig
from fiqa_fast.client.errors import DeadlineError, ModelUnavailableError, ServerUnavailableError
from fiqa_fast.client.grpc_connection import GrpcConnection
from fiqa_fast.client.http_connection import HttpConnection
from fiqa_fast.client.options import ClientOptions
from fiqa_fast.client.request import Answer, Request
from fiqa_fast.client.served_models import (
    ServedColumn,
    choose_columns,
    choose_models,
    ensemble_columns,
    scorer_columns,
)
from fiqa_fast.client.shared_memory import RegionPool
from fiqa_fast.client.waiting import Waiting
from fiqa_fast.serving.repository.settings import ENSEMBLE_MODEL

T = TypeVar("T")


class Server:
    """Asks one server, again while it is unavailable, and remembers its configurations.

    Args:
        options: where the server is, and how to talk to it.
        waiting: how to pause and to do slow work; on an event loop the connection is
            asynchronous too.
        asynchronous: whether calls leave the event loop free.
    """

    def __init__(self, options: ClientOptions, waiting: Waiting, *, asynchronous: bool) -> None:
        self.options = options
        self.waiting = waiting
        protocol = GrpcConnection if options.protocol == "grpc" else HttpConnection
        self._connection: Connection = protocol(options, asynchronous=asynchronous)
        self._regions = RegionPool(options.shared_memory, self._connection)
        self._configs: dict[tuple[str, str | None], ModelConfig] = {}
        self._models: dict[str, str] = {}  # by the names that callers use

    async def ask(self, request: Request) -> tuple[Answer, float]:
        """Asks a model.

        Returns:
            The answer, and the milliseconds that it took, without failed tries.

        Raises:
            ServerError: there is none.
        """

        async def once(left_s: float) -> tuple[Answer, float]:
            async with self._regions.placed(request, left_s) as placed:
                start = time.perf_counter()
                answer = await self._connection.infer(placed, left_s)
                return answer, (time.perf_counter() - start) * 1e3

        return await self._retried(once)

    async def config(self, model: str, version: str | None = None) -> ModelConfig:
        """A model's configuration.

        Args:
            model: its name.
            version: that answered; its configuration is read once. None: of now.

        Raises:
            ServerError: the server does not tell.
        """
        key = (model, version)
        if key not in self._configs:
            self._configs[key] = await self._retried(
                lambda left_s: self._connection.model_config(model, left_s)
            )
        return self._configs[key]

    async def ready_models(self) -> list[str]:
        """Names of the models that are loaded.

        Raises:
            ServerError: the server does not tell.
        """
        return await self._retried(self._connection.ready_models)

    async def scorer_models(self, names: Sequence[str] | None) -> list[ModelConfig]:
        """The models that take crops.

        Args:
            names: of models or scorers; None: every scorer that the server has loaded.

        Raises:
            ModelUnavailableError: the server has none of such a name, or no scorer at all.
            ServerError: the server does not tell.
        """
        if names is not None:
            if not self._models.keys() >= set(names):
                found = choose_models(names, await self.ready_models())
                self._models |= dict(zip(names, found, strict=True))
            return [await self.config(self._models[name]) for name in names]
        served = await self.ready_models()
        configs = [await self.config(model) for model in served]
        scorers = [config for config in configs if scorer_columns(config) is not None]
        if not scorers:
            raise ModelUnavailableError(
                f"client: expected a server with a scorer, got one with {', '.join(served) or 'no'}"
                " models; load one of a repository of `fiqa-fast serve build-repo`"
            )
        return scorers

    async def ensemble_columns(
        self, names: Sequence[str] | None, *, all_outputs: bool, version: str | None = None
    ) -> list[ServedColumn]:
        """The wanted columns of the ensemble.

        Args:
            names: of models or scorers; None: all that it has.
            all_outputs: every output of each instead of its default one.
            version: of the ensemble that answered; None: as it is now.

        Raises:
            InvalidArgumentError: the ensemble does not give what is wanted.
            ServerError: the server does not tell.
        """
        columns = ensemble_columns(await self.config(ENSEMBLE_MODEL, version))
        return choose_columns(columns, names, all_outputs=all_outputs)

    async def close(self) -> None:
        """Gives back shared memory and ends the connection with all that is in flight on it."""
        try:
            await self._regions.close()
        finally:
            await self._connection.close()

    async def _retried(self, attempt: Callable[[float], Awaitable[T]]) -> T:
        """What an attempt comes to, given the seconds that are left for it."""
        options = self.options
        end = time.monotonic() + options.timeout_s
        retry = 0
        while True:
            try:
                return await attempt(end - time.monotonic())
            except ServerUnavailableError as error:
                # Another server may come in its place, with other models.
                self._configs.clear()
                self._models.clear()
                self._regions.forget()
                pause_s = options.pause_s(retry)
                if retry == options.retries:
                    raise
                if time.monotonic() + pause_s >= end:
                    raise DeadlineError(
                        f"client: expected an answer within {options.timeout_s:g} s, got none while"
                        f" the server was unavailable ({error}); give more time (timeout_s)"
                    ) from error
            await self.waiting.sleep(pause_s)
            retry += 1
