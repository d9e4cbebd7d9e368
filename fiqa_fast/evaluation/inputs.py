"""What an evaluation is given: scores of samples, scores of comparisons, and what to compute."""

from __future__ import annotations

from dataclasses import dataclass

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.edc import ERRORS, THRESHOLD_POLICIES
from fiqa_fast.evaluation.error_rates import ScoreArray
from fiqa_fast.evaluation.pair_quality import PAIR_QUALITIES
from fiqa_fast.types import Float64Array

GIVEN_SCORES = "comparison_score"
"""Stands for the network where the data set itself brings the comparison scores."""


@dataclass(frozen=True)
class MethodScores:
    """The scores of one method for every sample of a protocol.

    Attributes:
        method: method and output, such as "grafiqs/b2".
        quality_network: that it ran on; "" where there is none.
        higher_is_better: their polarity.
        raw_scores: float64 [S]; NaN where there is none.
    """

    method: str
    quality_network: str
    higher_is_better: bool
    raw_scores: Float64Array


@dataclass(frozen=True)
class Verification:
    """The comparison scores of one recognition network.

    Attributes:
        network: its name.
        comparison_scores: [N]; higher is more alike; NaN where a sample has no embedding.
    """

    network: str
    comparison_scores: ScoreArray


@dataclass(frozen=True)
class EvaluationSettings:
    """What is computed.

    Attributes:
        fmrs: false match rates that decide thresholds, each 0 < fmr < 1.
        decision_thresholds: thresholds that are given instead; policy "fixed" only.
        threshold_policies: of THRESHOLD_POLICIES.
        errors: of ERRORS: curves of the FNMR, the FMR or both ("fixed" only).
        pair_quality: "min", "mean" or "product".
        missing: samples without a score: "error", "lowest" (discarded first) or "drop".
        bootstrap_repeats: draws for confidence intervals and paired tests; 0: none.
        confidence: of the intervals.
        reference: the method that all others are tested against; None: the one with the least area.
        seed: of the draws.

    Raises:
        InvalidArgumentError: a value that is not one of those.
    """

    fmrs: tuple[float, ...] = (1e-2, 1e-3, 1e-4)
    decision_thresholds: tuple[float, ...] = ()
    threshold_policies: tuple[str, ...] = THRESHOLD_POLICIES
    errors: tuple[str, ...] = ("fnmr",)
    pair_quality: str = "min"
    missing: str = "error"
    bootstrap_repeats: int = 0
    confidence: float = 0.95
    reference: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for fmr in self.fmrs:
            if not 0 < fmr < 1:
                raise InvalidArgumentError(
                    f"evaluate: expected 0 < fmr < 1, got {fmr}; 0.001 is usual"
                )
        if not self.fmrs and not self.decision_thresholds:
            raise InvalidArgumentError(
                "evaluate: expected an FMR or a decision threshold, got neither; give one"
            )
        choices = {
            "threshold_policies": (self.threshold_policies, THRESHOLD_POLICIES),
            "errors": (self.errors, ERRORS),
            "pair_quality": ((self.pair_quality,), PAIR_QUALITIES),
        }
        for name, (chosen, valid) in choices.items():
            if not chosen or not set(chosen) <= set(valid):
                raise InvalidArgumentError(
                    f"evaluate: expected {name} to be of {', '.join(valid)}, got"
                    f" {', '.join(chosen) or 'none'}; choose from these"
                )
        if not 0 < self.confidence < 1:
            raise InvalidArgumentError(
                f"evaluate: expected 0 < confidence < 1, got {self.confidence}; 0.95 is usual"
            )
