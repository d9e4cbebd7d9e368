"""`fiqa_result`: the last step of the ensemble: scores and qualities in one row for each image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # exists inside Triton only

from fiqa_fast.calibration import read_calibrations
from fiqa_fast.rows import ScoreColumn
from fiqa_fast.serving.models.metrics import ScoreMetrics
from fiqa_fast.serving.models.requests import (
    FAILED,
    OK,
    failure,
    response,
    text_tensor,
    texts_of,
)
from fiqa_fast.serving.result_file import NAME, ResultColumn, ResultFile
from fiqa_fast.serving.typed_record import read_record
from fiqa_fast.types import FailureReason, Float32Array


class ResultModel:
    """Puts the chosen outputs of all scorers side by side, and adds the qualities.

    Inputs: `<model>_raw_score`, float32 [B, O], of each scorer; `status`, `reason`, `note`, BYTES
    [B, 1], of `face_preprocess`. Outputs `raw_score` and `quality`, float32 [B, N], NaN where there
    is none; `status`, `reason`, `note`: "failed" with the reason `scoring_failed` where a face has
    no score at all.
    """

    def initialize(self, args: Mapping[str, str]) -> None:
        """Finds the calibrations of all columns."""
        folder = Path(args["model_repository"]) / args["model_version"]
        file = read_record(ResultFile, folder / NAME)
        calibrations = [c for name in file.calibrations for c in read_calibrations(folder / name)]
        self._columns = file.columns
        self._qualities = [
            ScoreColumn(column.provenance, column.output, calibrations) for column in file.columns
        ]
        self._metrics = ScoreMetrics(args["model_name"], file.columns)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers each request."""
        answers = []
        for request in requests:
            try:
                answers.append(self._answer(request))
            except Exception as error:
                answers.append(failure(error))
        return answers

    def _answer(self, request: Any) -> Any:
        status, reason, note = (
            [text.decode() for text in texts_of(request, name) or ()]
            for name in ("status", "reason", "note")
        )
        raw_scores = np.stack([_column(request, column) for column in self._columns], axis=1)
        raw_scores[[text != OK for text in status]] = math.nan  # TensorRT scores any crop
        qualities = np.array(
            [
                [self._quality(score, n) for n, score in enumerate(row)]
                for row in raw_scores.tolist()
            ],
            np.float32,
        ).reshape(raw_scores.shape)
        for i, row in enumerate(raw_scores):
            if status[i] == OK and not np.isfinite(row).any():
                status[i], reason[i] = FAILED, str(FailureReason.SCORING_FAILED)
                note[i] = "; ".join(filter(None, (note[i], "no scorer gave a score")))
                self._metrics.count_without_score()
            self._metrics.count(row.tolist(), qualities[i].tolist())
        return response(
            [
                pb_utils.Tensor("raw_score", raw_scores),
                pb_utils.Tensor("quality", qualities),
                text_tensor("status", status),
                text_tensor("reason", reason),
                text_tensor("note", note),
            ]
        )

    def _quality(self, raw_score: float, column: int) -> float:
        if not math.isfinite(raw_score):
            return math.nan
        quality = self._qualities[column].quality_score(raw_score).quality
        return math.nan if quality is None else quality


def _column(request: Any, column: ResultColumn) -> Float32Array:
    """float32 [B]."""
    tensor = pb_utils.get_input_tensor_by_name(request, f"{column.model}_raw_score")
    scores: Float32Array = tensor.as_numpy()[:, column.position]
    return scores
