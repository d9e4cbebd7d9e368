"""Recommends below which quality to discard faces, from comparisons of the reference faces."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.quality.calibration import Calibration, DiscardThreshold
from fiqa_fast.quality.comparisons import Comparisons
from fiqa_fast.quality.discard import (
    DiscardSteps,
    describe_resolution,
    find_decision_threshold,
    step_for_discard_fraction,
    step_for_fnmr,
    trace_discard_steps,
)
from fiqa_fast.quality.reference import ReferenceScores
from fiqa_fast.types import Float64Array

_FEW_COMPARISONS = 30  # an FNMR of them has steps of 3 per cent


@dataclass(frozen=True)
class DiscardTarget:
    """What a threshold is chosen for.

    Attributes:
        quantity: "discard_fraction": the last threshold that discards at most this part of the
            mated comparisons; "fnmr": the first that brings the false non-match rate down to this.
        value: the fraction or rate, 0 <= value < 1.
        fmr: false match rate that fixes the decision threshold, 0 < fmr < 1.

    Raises:
        InvalidArgumentError: a value out of range.
    """

    quantity: Literal["discard_fraction", "fnmr"]
    value: float
    fmr: float

    def __post_init__(self) -> None:
        if not 0 <= self.value < 1:
            raise InvalidArgumentError(
                f"calibrate: expected 0 <= {self.quantity} < 1, got {self.value};"
                " 0.05 means five per cent"
            )
        if not 0 < self.fmr < 1:
            raise InvalidArgumentError(
                f"calibrate: expected 0 < fmr < 1, got {self.fmr}; 0.001 is usual"
            )


def recommend_discard(
    calibration: Calibration,
    reference: ReferenceScores,
    comparisons: Comparisons,
    target: DiscardTarget,
) -> DiscardThreshold:
    """Chooses the threshold that reaches a target.

    The quality of a pair is the lower one of its two samples. The decision threshold is fixed by
    all non-mated comparisons before anything is discarded. Mated comparisons of a sample without a
    score are left out, and counted in a warning.

    Args:
        calibration: of the reference scores.
        reference: the scores it was made from.
        comparisons: of samples of the same table.
        target: what to reach.

    Raises:
        InvalidArgumentError: a sample has several faces, or no mated comparison has two scores.
    """
    higher_is_better = calibration.source.higher_is_better
    sample_quality = _sample_quality(reference, comparisons, higher_is_better)
    pairs = np.minimum(sample_quality[comparisons.sample_a], sample_quality[comparisons.sample_b])
    usable = comparisons.mated & ~np.isnan(pairs)
    if not usable.any():
        raise InvalidArgumentError(
            f"calibrate: expected mated comparisons of samples with a score of"
            f" {reference.source.name}, got none; the table's columns reason and note say why"
        )
    non_mated_scores = comparisons.scores[~comparisons.mated]
    decision_threshold = find_decision_threshold(non_mated_scores, target.fmr)
    steps = trace_discard_steps(pairs[usable], comparisons.scores[usable] < decision_threshold)

    step: int | None
    if target.quantity == "discard_fraction":
        step = step_for_discard_fraction(steps, target.value)
    else:
        step = step_for_fnmr(steps, target.value)
    left_out = int((comparisons.mated & np.isnan(pairs)).sum())
    warnings = _list_warnings(steps, step, target, len(non_mated_scores), left_out)
    mated_scores = comparisons.scores[usable]
    if mated_scores.mean() < non_mated_scores.mean():
        warnings += (
            "mated comparisons have lower scores than non-mated ones: higher must mean more alike,"
            " so turn the sign of distances",
        )
    kept = 0 if step is None else round((1 - float(steps.discard_fraction[step])) * usable.sum())
    if step is not None and kept < _FEW_COMPARISONS:
        warnings += (f"only {kept} mated comparisons are left at this threshold: trust it little",)
    raw_score = None
    if step is not None:
        raw_score = float(steps.quality_threshold[step]) * (1 if higher_is_better else -1)
    return DiscardThreshold(
        target=target.quantity,
        target_value=target.value,
        raw_score=raw_score,
        quality=None if raw_score is None else calibration.quality(raw_score),
        discard_fraction=None if step is None else float(steps.discard_fraction[step]),
        face_discard_fraction=None
        if step is None
        else float((_oriented(reference, higher_is_better) < steps.quality_threshold[step]).mean()),
        fnmr_before=float(steps.fnmr[0]),
        fnmr_after=None if step is None else float(steps.fnmr[step]),
        fmr=target.fmr,
        fmr_reached=float((non_mated_scores >= decision_threshold).mean()),
        decision_threshold=decision_threshold,
        mated_count=int(usable.sum()),
        non_mated_count=len(non_mated_scores),
        warnings=warnings,
    )


def _oriented(reference: ReferenceScores, higher_is_better: bool) -> Float64Array:
    """Raw scores, higher is better. They order faces as their qualities do, and never saturate."""
    return reference.raw_scores if higher_is_better else -reference.raw_scores


def _sample_quality(
    reference: ReferenceScores, comparisons: Comparisons, higher_is_better: bool
) -> Float64Array:
    """For each compared sample its oriented raw score, NaN where it has none."""
    faces = Counter(reference.paths)
    several = next((sample for sample in comparisons.samples if faces[sample] > 1), None)
    if several is not None:
        raise InvalidArgumentError(
            f"calibrate: expected one scored face in each compared image, got {faces[several]} in"
            f" {several}; score the images with --faces largest"
        )
    scores = dict(zip(reference.paths, _oriented(reference, higher_is_better), strict=True))
    return np.asarray([scores.get(sample, np.nan) for sample in comparisons.samples])


def _list_warnings(
    steps: DiscardSteps,
    step: int | None,
    target: DiscardTarget,
    non_mated_count: int,
    left_out: int,
) -> tuple[str, ...]:
    warnings = []
    too_few = describe_resolution(non_mated_count, target.fmr)
    if too_few:
        warnings.append(too_few)
    if left_out:
        warnings.append(f"{left_out} mated comparisons have a sample without a score: left out")
    if step is None:
        best = int(np.argmin(steps.fnmr))
        warnings.append(
            f"no threshold reaches an FNMR of {target.value:g}: the lowest is"
            f" {steps.fnmr[best]:.4g}, with {steps.discard_fraction[best]:.1%} discarded"
        )
    elif step == 0 and target.quantity == "discard_fraction":
        lowest = float(steps.discard_fraction[1]) if len(steps.discard_fraction) > 1 else 1.0
        warnings.append(
            f"nothing is discarded: the comparisons of the lowest quality are {lowest:.1%} of all"
        )
    return tuple(warnings)
