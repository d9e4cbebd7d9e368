"""Images whose faces are found here: crops go to the models of the scorers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from fiqa_fast.client.crop_scoring import CropModel
from fiqa_fast.client.image_scoring import ImageScoring
from fiqa_fast.client.server import Server
from fiqa_fast.pipeline import FaceFinder, Source
from fiqa_fast.results import ScoreRow
from fiqa_fast.rows import ScoreColumn
from fiqa_fast.types import FailedImage


class FoundHere(ImageScoring):
    """Scores the faces that are found here.

    Args:
        server: to ask.
        models: of the scorers, in the order of a face's rows.
        finder: how faces are found.
    """

    def __init__(self, server: Server, models: Sequence[CropModel], finder: FaceFinder) -> None:
        self._server = server
        self._models = models
        self._finder = finder

    async def columns(self) -> list[ScoreColumn]:
        """See `ImageScoring`."""
        return [column for model in self._models for column in await model.columns()]

    async def rows(self, source: Source, number: int) -> list[ScoreRow]:
        """See `ImageScoring`."""
        work = partial(self._finder.find, source, number)
        faces = await self._server.waiting.offload(work)
        if isinstance(faces, FailedImage):
            return [column.failed_row(faces) for column in await self.columns()]
        crops = np.stack([face.crop for face in faces])
        rows: list[list[ScoreRow]] = [[] for _ in faces]
        for model in self._models:
            for start in range(0, len(faces), model.most_crops):
                some = slice(start, start + model.most_crops)
                for of_face, more in zip(
                    rows[some], await model.rows(faces[some], crops[some]), strict=True
                ):
                    of_face += more
        return [row for of_face in rows for row in of_face]
