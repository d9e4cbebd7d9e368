"""The client for programs with an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, Unpack

from fiqa_fast.calibration import Calibration
from fiqa_fast.client.crop_batches import crop_batches, scores_by_crop
from fiqa_fast.client.errors import closed_error
from fiqa_fast.client.image_scoring import ImageChoices
from fiqa_fast.client.in_order import in_order_async
from fiqa_fast.client.options import ClientOptions
from fiqa_fast.client.prepare import prepare_images
from fiqa_fast.client.server import Server
from fiqa_fast.client.sources import check_sources
from fiqa_fast.client.waiting import OnLoop
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.pipeline import Source
from fiqa_fast.results import ScoreRow
from fiqa_fast.rows import ScoreColumn
from fiqa_fast.scorers.crops import Crops
from fiqa_fast.types import QualityScore

T = TypeVar("T")


class AsyncFiqaClient:
    """As `FiqaClient`, with coroutines: requests in flight are tasks of the running event loop.

    Make it inside a coroutine, and use it as an asynchronous context manager, on that loop only.
    Closing it ends what is in flight.

    Args:
        options: of the connection, or HOST:PORT for gRPC with the defaults.

    Raises:
        UnavailableError: tritonclient is not installed.
        InvalidArgumentError: no event loop runs, or a file of certificates cannot be read.

    Example:
        >>> async with AsyncFiqaClient("localhost:8001") as client:  # doctest: +SKIP
        ...     rows = await client.score_images(["portrait.jpg"])
    """

    def __init__(self, options: ClientOptions | str) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError as error:
            raise InvalidArgumentError(
                "client: expected a running event loop, got none; make the client inside a"
                " coroutine, or use FiqaClient"
            ) from error
        self.options = ClientOptions(options) if isinstance(options, str) else options
        self._server = Server(self.options, OnLoop(), asynchronous=True)
        self._is_closed = False

    async def __aenter__(self) -> AsyncFiqaClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def score_images(
        self,
        sources: Iterable[Source] | AsyncIterable[Source],
        scorers: Sequence[str] | None = None,
        **choices: Unpack[ImageChoices],
    ) -> list[ScoreRow]:
        """As `FiqaClient.score_images`; the sources may come asynchronously."""
        check_sources(sources)
        async with aclosing(self.score_stream(sources, scorers, **choices)) as stream:
            return [row async for rows in stream for row in rows]

    async def score_stream(
        self,
        sources: Iterable[Source] | AsyncIterable[Source],
        scorers: Sequence[str] | None = None,
        **choices: Unpack[ImageChoices],
    ) -> AsyncGenerator[list[ScoreRow], None]:
        """As `FiqaClient.score_stream`; the sources may come asynchronously.

        Leave it early through `contextlib.aclosing`, so that what is in flight ends at once.
        """
        scoring = await self._checked(prepare_images(self._server, scorers, **choices))
        jobs = (
            partial(scoring.rows, source, number) async for number, source in _numbered(sources)
        )
        async with aclosing(in_order_async(jobs, self.options.in_flight)) as stream:
            async for rows in stream:
                yield rows

    async def score_crops(
        self,
        crops: Crops,
        scorers: Sequence[str] | None = None,
        *,
        all_outputs: bool = False,
        calibrations: Sequence[Calibration] = (),
    ) -> list[list[QualityScore]]:
        """As `FiqaClient.score_crops`."""
        batches = await self._checked(
            crop_batches(
                self._server, crops, scorers, all_outputs=all_outputs, calibrations=calibrations
            )
        )
        jobs = (batch.scores async for _, batch in _numbered(batches))
        async with aclosing(in_order_async(jobs, self.options.in_flight)) as stream:
            return scores_by_crop(batches, [scores async for scores in stream])

    async def columns(
        self, scorers: Sequence[str] | None = None, **choices: Unpack[ImageChoices]
    ) -> list[ScoreColumn]:
        """As `FiqaClient.columns`."""
        scoring = await self._checked(prepare_images(self._server, scorers, **choices))
        return await scoring.columns()

    async def close(self) -> None:
        """Ends the connection and what is in flight on it."""
        if not self._is_closed:
            self._is_closed = True
            await self._server.close()

    async def _checked(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._is_closed:
            coroutine.close()
            raise closed_error()
        return await coroutine


async def _numbered(items: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[tuple[int, T], None]:
    """Items with their positions."""
    number = 0
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield number, item
            number += 1
    else:
        for number, item in enumerate(items):
            yield number, item
