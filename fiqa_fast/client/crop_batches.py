"""Many crops as requests that models take, and their answers as one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiqa_fast.calibration import Calibration
from fiqa_fast.client.columns import ColumnMaker
from fiqa_fast.client.crop_scoring import CropModel, crop_models
from fiqa_fast.client.server import Server
from fiqa_fast.scorers.crops import Crops, as_crop_tensor
from fiqa_fast.types import CROP_SIZE_PX, QualityScore, UInt8Array


@dataclass(frozen=True)
class CropBatch:
    """Some of the crops, for one model.

    Attributes:
        model: to ask.
        start: position of the first.
        crops: uint8 [B, 112, 112, 3].
    """

    model: CropModel
    start: int
    crops: UInt8Array

    async def scores(self) -> list[list[QualityScore]]:
        """For each crop its scores of this model."""
        return await self.model.scores(self.crops)


async def crop_batches(
    server: Server,
    crops: Crops,
    scorers: Sequence[str] | None,
    *,
    all_outputs: bool,
    calibrations: Sequence[Calibration],
) -> list[CropBatch]:
    """Cuts crops into requests.

    Args:
        server: to ask for its models.
        crops: uint8 RGB, numpy [B, 112, 112, 3] or torch [B, 3, 112, 112].
        scorers: names of models or scorers; None: every scorer that the server has loaded.
        all_outputs: every output of each scorer instead of its chosen one.
        calibrations: from `read_calibrations`; they come before the packaged ones.

    Raises:
        InvalidArgumentError: crops of another shape or type, or a model does not give the outputs.
        ServerError: the server has no such model, or does not tell.
    """
    pixels = _as_array(crops)
    models = await crop_models(server, scorers, ColumnMaker(calibrations), all_outputs=all_outputs)
    return [
        CropBatch(model, start, pixels[start : start + model.most_crops])
        for model in models
        for start in range(0, len(pixels), model.most_crops)
    ]


def scores_by_crop(
    batches: Sequence[CropBatch], scores: Sequence[list[list[QualityScore]]]
) -> list[list[QualityScore]]:
    """The scores of all batches as one list for each crop, models in their order."""
    count = max((batch.start + len(batch.crops) for batch in batches), default=0)
    by_crop: list[list[QualityScore]] = [[] for _ in range(count)]
    for batch, of_batch in zip(batches, scores, strict=True):
        for position, of_crop in enumerate(of_batch, batch.start):
            by_crop[position] += of_crop
    return by_crop


def _as_array(crops: Crops) -> UInt8Array:
    """uint8 [B, 112, 112, 3]; arrays that are so already are not copied."""
    shape = (CROP_SIZE_PX, CROP_SIZE_PX, 3)
    if isinstance(crops, np.ndarray) and crops.dtype == np.uint8 and crops.shape[1:] == shape:
        return crops
    pixels: UInt8Array = as_crop_tensor(crops, CROP_SIZE_PX).permute(0, 2, 3, 1).cpu().numpy()
    return pixels
