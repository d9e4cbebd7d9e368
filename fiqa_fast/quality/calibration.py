"""A calibration: data that turns a raw score into a quality, and what the data hold for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fiqa_fast.quality.scales import Scale
from fiqa_fast.quality.source import ScoreSource


@dataclass(frozen=True)
class DiscardThreshold:
    """Below which quality to discard faces, and what that does to recognition.

    Made by `recommend_discard` from comparisons of the reference faces. Fractions and rates are
    0..1. Comparisons of pairs are discarded by the lower quality of their two samples.

    Attributes:
        target: what the threshold was chosen for: "discard_fraction" (at most that part of the
            mated comparisons is discarded) or "fnmr" (the fewest that lead to that rate).
        target_value: the wanted discard fraction or FNMR.
        raw_score: faces with a worse raw score are discarded; None where nothing reaches the
            target.
        quality: `raw_score` as a quality, to be read; the raw score decides, since it never
            saturates. None like `raw_score`.
        discard_fraction: part of the mated comparisons that is discarded; None like `raw_score`.
        face_discard_fraction: part of the reference faces that is; None like `raw_score`.
        fnmr_before: false non-match rate of all mated comparisons.
        fnmr_after: of those that are kept; None like `raw_score`.
        fmr: the false match rate that was asked for.
        fmr_reached: that of the decision threshold: at most `fmr`.
        decision_threshold: comparison scores at or above it are matches; fixed before anything is
            discarded.
        mated_count: mated comparisons.
        non_mated_count: non-mated comparisons.
        warnings: what limits the figures, in words.
    """

    target: str
    target_value: float
    raw_score: float | None
    quality: float | None
    discard_fraction: float | None
    face_discard_fraction: float | None
    fnmr_before: float
    fnmr_after: float | None
    fmr: float
    fmr_reached: float
    decision_threshold: float
    mated_count: int
    non_mated_count: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Calibration:
    """Turns raw scores of one source into qualities of 0..100, higher is better.

    Attributes:
        source: which scores it is for; it holds for no others.
        scale: where a raw score stands in the reference set.
        reference_set: what the reference faces are, in words.
        face_count: their number.
        fiqa_fast_version: that made the reference scores.
        discard: a recommended threshold, where comparisons were given.
    """

    source: ScoreSource
    scale: Scale
    reference_set: str
    face_count: int
    fiqa_fast_version: str
    discard: DiscardThreshold | None = None

    def quality(self, raw_score: float) -> float:
        """The quality of a finite raw score: 0..100, higher is better.

        With the kind percentile it is the percentage of reference faces that the face beats.
        """
        position = self.scale.position(raw_score)
        return position if self.source.higher_is_better else 100 - position

    def is_below_threshold(self, raw_score: float) -> bool:
        """Whether the recommended threshold discards a face; never where there is none."""
        if self.discard is None or self.discard.raw_score is None:
            return False
        if self.source.higher_is_better:
            return raw_score < self.discard.raw_score
        return raw_score > self.discard.raw_score

    def record(self) -> dict[str, Any]:
        """The content as plain JSON values, as it stands in a file, without the digest."""
        source = asdict(self.source)
        return {
            **source,
            "parameters": json.loads(self.source.parameters),
            "kind": self.scale.kind,
            **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.scale).items()},
            "reference_set": self.reference_set,
            "face_count": self.face_count,
            "fiqa_fast_version": self.fiqa_fast_version,
            "discard": None
            if self.discard is None
            else {**asdict(self.discard), "warnings": list(self.discard.warnings)},
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return digest_of(self.record())


def digest_of(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record's JSON text with sorted keys, without white space and in ASCII."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
