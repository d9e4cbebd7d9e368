"""Images whose faces the server finds: files go to its ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from fiqa_fast.client.columns import ColumnMaker
from fiqa_fast.client.errors import ContractError, RequestTooLargeError, ServerFailedError
from fiqa_fast.client.image_scoring import ImageScoring
from fiqa_fast.client.request import Answer, Request
from fiqa_fast.client.served_models import ServedColumn
from fiqa_fast.client.server import Server
from fiqa_fast.client.sources import image_file
from fiqa_fast.pipeline import Source, source_name
from fiqa_fast.results import ScoreRow
from fiqa_fast.rows import ScoreColumn
from fiqa_fast.serving.find_face import PLACEHOLDER
from fiqa_fast.serving.repository.settings import ENSEMBLE_MODEL
from fiqa_fast.types import AlignedFace, DetectedFace, FailedImage, FailureReason

_FACE = {"box": (4,), "landmarks": (5, 2), "confidence": (1,)}
_OUTCOME = ("status", "reason", "note")
_OUTPUTS = ("raw_score", *_FACE, *_OUTCOME)
_NO_CROP = np.zeros((0, 0, 3), np.uint8)


class FoundByServer(ImageScoring):
    """Scores what the server finds in each image.

    Args:
        server: to ask.
        scorers: names of models or scorers; None: all of the ensemble.
        columns: makes the columns.
        all_outputs: every output of each scorer instead of its chosen one.
        max_megapixels: larger files are not read.
    """

    def __init__(
        self,
        server: Server,
        scorers: Sequence[str] | None,
        columns: ColumnMaker,
        *,
        all_outputs: bool,
        max_megapixels: float,
    ) -> None:
        self._server = server
        self._scorers = scorers
        self._columns = columns
        self._all_outputs = all_outputs
        self._max_megapixels = max_megapixels

    async def columns(self) -> list[ScoreColumn]:
        """See `ImageScoring`."""
        return [self._columns.column(c) for c in await self._served(None)]

    async def rows(self, source: Source, number: int) -> list[ScoreRow]:
        """See `ImageScoring`."""
        work = partial(image_file, source, number, self._max_megapixels)
        is_there = isinstance(source, bytes)
        image = work() if is_there else await self._server.waiting.offload(work)
        name = source_name(source, number)
        if isinstance(image, bytes):
            tensor = np.array([[image]], dtype=object)
            request = Request(ENSEMBLE_MODEL, "image", tensor, _OUTPUTS)
            try:
                answer, elapsed_ms = await self._server.ask(request)
            except RequestTooLargeError as error:
                image = FailedImage(name, FailureReason.IMAGE_TOO_LARGE, f"{name}: {error}")
            except ServerFailedError as error:
                image = FailedImage(name, FailureReason.SCORING_FAILED, f"{name}: {error}")
            else:
                return await self._rows(name, answer, elapsed_ms)
        return [column.failed_row(image) for column in await self.columns()]

    async def _rows(self, name: str, answer: Answer, elapsed_ms: float) -> list[ScoreRow]:
        served = await self._served(answer.version)
        columns = [self._columns.column(c) for c in served]
        outcome = _outcome(answer, name)
        if isinstance(outcome, FailedImage):
            return [column.failed_row(outcome) for column in columns]
        raw = answer.output("raw_score", (1, None))[0].tolist()
        if any(c.position >= len(raw) for c in served):
            raise ContractError(
                f"client: expected a score for each of the columns that {ENSEMBLE_MODEL} tells of,"
                f" got {len(raw)}; build the repository again with `fiqa-fast serve build-repo`"
            )
        return [
            column.face_row(outcome, raw[c.position], elapsed_ms)
            for c, column in zip(served, columns, strict=True)
        ]

    async def _served(self, version: str | None) -> list[ServedColumn]:
        return await self._server.ensemble_columns(
            self._scorers, all_outputs=self._all_outputs, version=version
        )


def _outcome(answer: Answer, name: str) -> AlignedFace | FailedImage:
    """What the server found: a face without its crop, or why there is none."""
    status, reason, note = (
        answer.output(text, (1, 1))[0, 0].decode(errors="replace") for text in _OUTCOME
    )
    if note.startswith(PLACEHOLDER):
        note = name + note.removeprefix(PLACEHOLDER)
    # A face without any score keeps its place: each of its columns says that it has none.
    if status != "ok" and reason != FailureReason.SCORING_FAILED:
        if reason not in set(FailureReason):
            raise ContractError(
                f"client: expected a reason (one of {', '.join(FailureReason)}) why {name} has no"
                f" score, got {reason!r}; use client and server of one version"
            )
        return FailedImage(name, FailureReason(reason), note)
    box, landmarks, confidence = (answer.output(n, (1, *s))[0] for n, s in _FACE.items())
    # A server of aligned crops detects nothing.
    detection = None
    if np.isfinite(box).all():
        detection = DetectedFace(box, landmarks, float(confidence[0]))
    return AlignedFace(name, _NO_CROP, detection=detection, note=note)
