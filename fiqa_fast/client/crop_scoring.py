"""From crops to scores, by the model of one scorer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fiqa_fast.client.columns import ColumnMaker
from fiqa_fast.client.errors import ContractError, ServerFailedError
from fiqa_fast.client.request import Request
from fiqa_fast.client.served_models import ServedColumn, scorer_columns, wanted_outputs
from fiqa_fast.client.server import Server
from fiqa_fast.results import ScoreRow
from fiqa_fast.rows import ScoreColumn
from fiqa_fast.types import AlignedFace, QualityScore, UInt8Array


@dataclass(frozen=True)
class _Scores:
    """Of some crops.

    Attributes:
        columns: wanted of the model.
        raw: for each crop the raw score of each column.
        elapsed_ms: for each crop.
    """

    columns: list[ScoreColumn]
    raw: list[list[float]]
    elapsed_ms: float


class CropModel:
    """Asks one model for scores.

    Args:
        server: that has it.
        name: of the model.
        most_crops: that it takes in one request.
        columns: makes the columns.
        all_outputs: every output of the scorer instead of its chosen one.
    """

    def __init__(
        self, server: Server, name: str, most_crops: int, columns: ColumnMaker, *, all_outputs: bool
    ) -> None:
        self.most_crops = most_crops
        self._server = server
        self._name = name
        self._columns = columns
        self._all_outputs = all_outputs

    async def columns(self) -> list[ScoreColumn]:
        """The wanted columns, as the server has them now."""
        return [self._columns.column(c) for c in await self._served(None)]

    async def rows(self, faces: Sequence[AlignedFace], crops: UInt8Array) -> list[list[ScoreRow]]:
        """For each face its rows, also where the model failed.

        Args:
            faces: as many as there are crops.
            crops: uint8 [B, 112, 112, 3], RGB, at most `most_crops`.

        Raises:
            ServerError: there is no answer.
        """
        error = ""
        try:
            scores = await self._ask(crops)
        except ServerFailedError as failure:
            columns = await self.columns()
            scores = _Scores(columns, [[math.nan] * len(columns)] * len(faces), math.nan)
            error = str(failure)
        return [
            [
                column.face_row(face, raw, scores.elapsed_ms, error)
                for column, raw in zip(scores.columns, of_face, strict=True)
            ]
            for face, of_face in zip(faces, scores.raw, strict=True)
        ]

    async def scores(self, crops: UInt8Array) -> list[list[QualityScore]]:
        """For each crop its scores; without `raw_score` where the model gave no finite number.

        Args:
            crops: uint8 [B, 112, 112, 3], RGB, at most `most_crops`.

        Raises:
            ServerError: there is no answer.
        """
        scores = await self._ask(crops)
        return [
            [
                column.quality_score(raw if math.isfinite(raw) else None)
                for column, raw in zip(scores.columns, of_crop, strict=True)
            ]
            for of_crop in scores.raw
        ]

    async def _ask(self, crops: UInt8Array) -> _Scores:
        request = Request(self._name, "crops", crops, ("raw_score",))
        answer, elapsed_ms = await self._server.ask(request)
        served = await self._served(answer.version)
        raw = answer.output("raw_score", (len(crops), len(served[0].provenance.outputs)))
        return _Scores(
            [self._columns.column(c) for c in served],
            raw[:, [c.position for c in served]].tolist(),
            elapsed_ms / len(crops),
        )

    async def _served(self, version: str | None) -> list[ServedColumn]:
        columns = scorer_columns(await self._server.config(self._name, version))
        if columns is None:
            raise ContractError(
                f"client: expected {self._name} to say in its configuration where its scores come"
                " from, got nothing; serve a repository of `fiqa-fast serve build-repo`"
            )
        return wanted_outputs(columns, all_outputs=self._all_outputs)


async def crop_models(
    server: Server, scorers: Sequence[str] | None, columns: ColumnMaker, *, all_outputs: bool
) -> list[CropModel]:
    """The models of scorers.

    Args:
        server: to ask.
        scorers: names of models or scorers; None: every scorer that the server has loaded.
        columns: makes the columns.
        all_outputs: every output of each scorer instead of its chosen one.

    Raises:
        ModelUnavailableError: the server has none of such a name, or no scorer at all.
        InvalidArgumentError: a model does not give the wanted outputs.
        ServerError: the server does not tell.
    """
    models = [
        CropModel(server, config.name, config.max_batch_size, columns, all_outputs=all_outputs)
        for config in await server.scorer_models(scorers)
    ]
    for model in models:
        await model.columns()  # refuses here what the model does not give
    return models
