"""Metrics of our own on Triton's endpoint; they begin at zero when a model is loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import triton_python_backend_utils as pb_utils  # exists inside Triton only

from fiqa_fast.serving.result_file import ResultColumn
from fiqa_fast.types import AlignedFace, FailedImage, FailureReason

_NOT_OF_IMAGES = (FailureReason.FILE_NOT_FOUND, FailureReason.SCORING_FAILED)
_QUALITY_BOUNDS = tuple(float(bound) for bound in range(10, 100, 10))


class FaceMetrics:
    """Counts what `face_preprocess` finds.

    `fiqa_faces_found_total`, and `fiqa_images_rejected_total` for each reason. Images that the
    response cache answers are not counted again.

    Args:
        model: its name.
    """

    def __init__(self, model: str) -> None:
        # Triton forgets a family when nothing refers to it, whatever its metrics do.
        self._families = (
            _counter("fiqa_faces_found_total", "Images with a face"),
            _counter("fiqa_images_rejected_total", "Images without a face to score"),
        )
        found, rejected = self._families
        self._found = found.Metric(labels={"model": model})
        self._rejected = {
            reason: rejected.Metric(labels={"model": model, "reason": str(reason)})
            for reason in FailureReason
            if reason not in _NOT_OF_IMAGES
        }

    def count(self, face: AlignedFace | FailedImage) -> None:
        """Counts one image."""
        metric = self._rejected[face.reason] if isinstance(face, FailedImage) else self._found
        metric.increment(1)


class ScoreMetrics:
    """Histograms of what the ensemble gives, for each of its columns.

    `fiqa_quality` (0..100, in tens) where there is a calibration, and `fiqa_raw_score` where the
    YAML gives bounds. `fiqa_faces_without_score_total` counts faces that no scorer could score.

    Args:
        model: name of the model that counts.
        columns: of the ensemble.
    """

    def __init__(self, model: str, columns: Sequence[ResultColumn]) -> None:
        self._families = (
            _histogram("fiqa_quality", "Quality, 0 to 100, higher is better"),
            _histogram("fiqa_raw_score", "Raw score, on the method's own scale"),
            _counter("fiqa_faces_without_score_total", "Faces that no scorer could score"),
        )
        quality, raw, without_score = self._families
        self._without_score = without_score.Metric(labels={"model": model})
        self._quality, self._raw = [], []
        for column in columns:
            labels = {
                "model": column.model,
                "scorer": column.provenance.scorer,
                "output": column.output,
            }
            self._quality.append(quality.Metric(labels=labels, buckets=list(_QUALITY_BOUNDS)))
            bounds = list(column.histogram)
            self._raw.append(raw.Metric(labels=labels, buckets=bounds) if bounds else None)

    def count(self, raw_scores: Sequence[float], qualities: Sequence[float]) -> None:
        """Counts the scores of one face, a number for each column; NaN is left out."""
        for metric, value in zip(
            [*self._quality, *self._raw], [*qualities, *raw_scores], strict=True
        ):
            if metric is not None and not math.isnan(value):
                metric.observe(value)

    def count_without_score(self) -> None:
        """Counts a face that has no score at all."""
        self._without_score.increment(1)


def _counter(name: str, description: str) -> Any:
    return pb_utils.MetricFamily(
        name=name, description=description, kind=pb_utils.MetricFamily.COUNTER
    )


def _histogram(name: str, description: str) -> Any:
    return pb_utils.MetricFamily(
        name=name, description=description, kind=pb_utils.MetricFamily.HISTOGRAM
    )
