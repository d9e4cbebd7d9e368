"""From raw scores to rows of the table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fiqa_fast.calibration import Calibration, find_calibration_of
from fiqa_fast.provenance import Provenance
from fiqa_fast.results import ScoreRow
from fiqa_fast.types import AlignedFace, FailedImage, FailureReason, QualityScore


class ScoreColumn:
    """One output of one method: makes its QualityScores and rows.

    Args:
        provenance: of the method's scores.
        output: one of its outputs.
        calibrations: from `read_calibrations`; they come before the packaged ones.

    Raises:
        InvalidArgumentError: several of the given calibrations fit.
    """

    def __init__(
        self, provenance: Provenance, output: str, calibrations: Sequence[Calibration] = ()
    ) -> None:
        self.provenance, self.output = provenance, output
        self.calibration = find_calibration_of(
            provenance.source(output), provenance.precision, calibrations
        )

    def quality_score(self, raw_score: float | None) -> QualityScore:
        """The score with its quality; None where there is none."""
        origin = self.provenance
        quality, reason = None, "no score"
        if raw_score is not None and isinstance(self.calibration, Calibration):
            quality, reason = self.calibration.quality(raw_score), ""
        elif raw_score is not None:
            reason = str(self.calibration)
        return QualityScore(
            scorer=origin.scorer,
            output=self.output,
            raw_score=raw_score,
            higher_is_better=origin.higher_is_better,
            quality=quality,
            quality_reason=reason,
            backbone=origin.backbone,
            weights_sha256=origin.weights_sha256,
            bn_statistics=origin.bn_statistics,
            variant=origin.variant,
            parameters=origin.parameters,
            precision=origin.precision,
            device=origin.device,
            engine=origin.engine,
            seed=origin.seed,
            version=origin.version,
        )

    def face_row(
        self, face: AlignedFace, raw_score: float, elapsed_ms: float | None, error: str = ""
    ) -> ScoreRow:
        """The row of a face.

        Args:
            face: its crop is not looked at.
            raw_score: NaN or infinite numbers make a failed row.
            elapsed_ms: that the method took for this face.
            error: why there is no score, or "".
        """
        if not error and not math.isfinite(raw_score):
            error = f"the score is {raw_score}"
        found = face.detection
        return ScoreRow(
            path=face.path,
            face_index=face.face_index,
            box=None if found is None else tuple(map(float, found.box)),
            landmarks=None if found is None else tuple(map(float, found.landmarks.flat)),
            status="failed" if error else "ok",
            reason=FailureReason.SCORING_FAILED if error else "",
            note="; ".join(filter(None, (face.note, error))),
            score=self.quality_score(None if error else raw_score),
            elapsed_ms=None if error else elapsed_ms,
        )

    def failed_row(self, image: FailedImage) -> ScoreRow:
        """The row of an image that has no face to score."""
        return ScoreRow(
            path=image.path,
            face_index=None,
            box=None,
            landmarks=None,
            status="failed",
            reason=image.reason,
            note=image.message,
            score=self.quality_score(None),
            elapsed_ms=None,
        )
