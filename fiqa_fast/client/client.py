"""The client for programs without an event loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, Unpack

from fiqa_fast.calibration import Calibration
from fiqa_fast.client.crop_batches import crop_batches, scores_by_crop
from fiqa_fast.client.errors import closed_error
from fiqa_fast.client.image_scoring import ImageChoices
from fiqa_fast.client.in_order import in_order
from fiqa_fast.client.options import ClientOptions
from fiqa_fast.client.prepare import prepare_images
from fiqa_fast.client.server import Server
from fiqa_fast.client.sources import check_sources
from fiqa_fast.client.waiting import InThread, run_blocking
from fiqa_fast.pipeline import Source
from fiqa_fast.results import ScoreRow
from fiqa_fast.rows import ScoreColumn
from fiqa_fast.scorers.crops import Crops
from fiqa_fast.types import QualityScore

T = TypeVar("T")

_GRACE_S = 5.0  # that requests in flight have to be answered when the client is closed


class FiqaClient:
    """Scores faces on a server of `fiqa-fast serve`. Use it as a context manager.

    Threads may share a client. Requests in flight have a thread each. When it is closed they have
    5 s to be answered; then they raise RequestCancelledError (over HTTP closing waits for them).

    Args:
        options: of the connection, or HOST:PORT for gRPC with the defaults.

    Raises:
        UnavailableError: tritonclient is not installed.
        InvalidArgumentError: a file of certificates cannot be read.

    Example:
        >>> with FiqaClient("localhost:8001") as client:  # doctest: +SKIP
        ...     rows = client.score_images(["portrait.jpg"])
        >>> rows[0].score.quality  # doctest: +SKIP
        87.2
    """

    def __init__(self, options: ClientOptions | str) -> None:
        self.options = ClientOptions(options) if isinstance(options, str) else options
        self._waiting = InThread()
        self._server = Server(self.options, self._waiting, asynchronous=False)
        self._pool = ThreadPoolExecutor(self.options.in_flight, thread_name_prefix="fiqa-client")
        self._running: set[Future[Any]] = set()
        self._is_closed = False

    def __enter__(self) -> FiqaClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def score_images(
        self,
        sources: Iterable[Source],
        scorers: Sequence[str] | None = None,
        **choices: Unpack[ImageChoices],
    ) -> list[ScoreRow]:
        """Scores images, as `fiqa_fast.score_images` does here.

        For many images use `score_stream`, which keeps what is done when the server goes away.

        Args:
            sources: paths, contents of image files, or pixels: uint8 RGB [H, W, 3] (they travel
                without loss).
            scorers: names of models or scorers; None: all that the server offers.
            **choices: see `ImageChoices`.

        Returns:
            As `score_stream`, in one list.

        Raises:
            InvalidArgumentError: as `score_stream`.
            ServerError: as `score_stream`.
        """
        check_sources(sources)
        return [row for rows in self.score_stream(sources, scorers, **choices) for row in rows]

    def score_stream(
        self,
        sources: Iterable[Source],
        scorers: Sequence[str] | None = None,
        **choices: Unpack[ImageChoices],
    ) -> Iterator[list[ScoreRow]]:
        """Scores images one after the other, `in_flight` of them at a time.

        Args:
            sources: as for `score_images`; may be a generator of any length.
            scorers: names of models or scorers; None: all that the server offers.
            **choices: see `ImageChoices`.

        Yields:
            For each image, in order, its rows: one per face and scorer (and output); one per
            scorer (and output) when there is no face, with status "failed" and the reason.
            `elapsed_ms` is the time of the request, with its waiting in the server's queue, divided
            by its faces.

        Raises:
            InvalidArgumentError: a wrong choice, pixels of another shape or type, or the server
                does not give what is wanted.
            ServerError: there is no answer, for a reason that does not lie in one image. All rows
                that were yielded stay valid; no later image was scored.
        """
        scoring = self._run(prepare_images(self._server, scorers, **choices))
        jobs = (partial(scoring.rows, source, number) for number, source in enumerate(sources))
        return in_order(jobs, self._submit, self.options.in_flight)

    def score_crops(
        self,
        crops: Crops,
        scorers: Sequence[str] | None = None,
        *,
        all_outputs: bool = False,
        calibrations: Sequence[Calibration] = (),
    ) -> list[list[QualityScore]]:
        """Scores aligned crops.

        Args:
            crops: uint8 RGB, numpy [B, 112, 112, 3] or torch [B, 3, 112, 112].
            scorers: names of models or scorers; None: every scorer that the server has loaded.
            all_outputs: every output of each scorer instead of its chosen one.
            calibrations: from `read_calibrations`; they come before the packaged ones.

        Returns:
            For each crop its scores: one per scorer (and output). `raw_score` is None where the
            model gave no finite number.

        Raises:
            InvalidArgumentError: crops of another shape or type, or a model does not give the
                outputs.
            ServerError: there is no answer to one of the requests.
        """
        batches = self._run(
            crop_batches(
                self._server, crops, scorers, all_outputs=all_outputs, calibrations=calibrations
            )
        )
        jobs = (batch.scores for batch in batches)
        scores = list(in_order(jobs, self._submit, self.options.in_flight))
        return scores_by_crop(batches, scores)

    def columns(
        self, scorers: Sequence[str] | None = None, **choices: Unpack[ImageChoices]
    ) -> list[ScoreColumn]:
        """What `score_stream` would give for each face with the same arguments, in order.

        Raises:
            InvalidArgumentError: as `score_stream`.
            ServerError: the server does not tell.
        """
        scoring = self._run(prepare_images(self._server, scorers, **choices))
        return self._run(scoring.columns())

    def close(self) -> None:
        """Ends the connection; what is in flight then has 5 s to be answered."""
        if self._is_closed:
            return
        self._is_closed = True
        self._waiting.wake()
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(list(self._running), timeout=_GRACE_S)
        run_blocking(self._server.close())
        self._pool.shutdown()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._is_closed:
            coroutine.close()
            raise closed_error()
        return run_blocking(coroutine)

    def _submit(self, job: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        try:
            future = self._pool.submit(lambda: run_blocking(job()))
        except RuntimeError as error:  # the pool is shut down
            raise closed_error() from error
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future
