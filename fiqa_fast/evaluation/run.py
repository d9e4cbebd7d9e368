"""Evaluates quality methods on a protocol: scores of samples and of comparisons in, records out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.areas import (
    CR_FIQA_LIMIT,
    DIFFIQA_LIMITS,
    FACEQAN_LIMITS,
    area_under_best,
    area_under_edc,
    normalised_area,
)
from fiqa_fast.evaluation.bootstrap import (
    AreaRule,
    BootstrapDraws,
    Groups,
    bootstrap_areas,
    confidence_interval,
    paired_p_value,
)
from fiqa_fast.evaluation.edc import (
    EdcCurve,
    fixed_threshold_curve,
    per_discard_curve,
    threshold_at_fmr,
)
from fiqa_fast.evaluation.error_rates import (
    ScoreArray,
    equal_error_rate,
    false_non_match_rate,
    split_scores,
    thin_det,
    trace_det,
)
from fiqa_fast.evaluation.inputs import EvaluationSettings, MethodScores, Verification
from fiqa_fast.evaluation.pair_quality import PairLevels, orient_scores, pair_levels
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.evaluation.result import (
    Area,
    CurveRecord,
    ErrorRatesRecord,
    EvaluationResult,
    PairedTestRecord,
)
from fiqa_fast.quality.discard import describe_resolution, find_decision_threshold
from fiqa_fast.types import Float64Array

MAX_POINTS = 400
"""Of a curve that is kept: more cannot be seen."""

AREAS = {
    "fixed": tuple(
        AreaRule("step", limit)
        for limit in sorted({*FACEQAN_LIMITS, *DIFFIQA_LIMITS, CR_FIQA_LIMIT})
    ),
    "per_discard": tuple(
        AreaRule("trapezoid", limit) for limit in sorted({*DIFFIQA_LIMITS, CR_FIQA_LIMIT})
    ),
}
"""What is computed of the curves of each policy."""

_FEW_ERRORS = 10

Progress = Callable[[str], object]
"""Is told what is being computed."""


def ignore_progress(text: str) -> None:
    """For callers that do not want to know."""


def evaluate_protocol(
    protocol: Protocol,
    methods: Sequence[MethodScores],
    verifications: Sequence[Verification],
    settings: EvaluationSettings,
    progress: Progress = ignore_progress,
) -> EvaluationResult:
    """Error rates, EDC curves and their areas of all methods with all recognition networks.

    Same-model and cross-model protocols are the same here: a method's own network may or may not be
    among those that verify.

    Args:
        protocol: which samples are compared.
        methods: scores of the samples.
        verifications: scores of the comparisons.
        settings: what is computed.
        progress: is told what is being computed.

    Raises:
        InvalidArgumentError: shapes that do not fit the protocol, samples without a score where
            that is an error, or comparisons of one kind only.
    """
    _check(protocol, methods, verifications, settings)
    curves: list[CurveRecord] = []
    rates: list[ErrorRatesRecord] = []
    tests: list[PairedTestRecord] = []
    notes: list[str] = []
    for verification in verifications:
        evaluated = _Comparisons(protocol, verification, settings.missing)
        if evaluated.left_out:
            notes.append(
                f"{protocol.name}, {verification.network}: {evaluated.left_out} comparisons have a"
                " sample without an embedding: left out"
            )
        progress(f"{protocol.name}: error rates of {verification.network}")
        rates.append(evaluated.error_rates(settings.fmrs))
        levels = [evaluated.levels(method, settings) for method in methods]
        for case in _cases(settings):
            progress(f"{protocol.name}: {case} with {verification.network}")
            records, bootstrapped = _curves(evaluated, methods, levels, case, settings)
            curves += records
            if bootstrapped is not None and len(methods) > 1:
                tests += _paired_tests(records, bootstrapped, settings)
    return EvaluationResult(
        title=f"Face image quality on {protocol.name}",
        notes=tuple(notes),
        curves=tuple(curves),
        error_rates=tuple(rates),
        paired_tests=tuple(tests),
    )


@dataclass(frozen=True)
class _Case:
    """One kind of curve."""

    error: str
    threshold_policy: str
    fmr: float | None
    decision_threshold: float | None

    def __str__(self) -> str:
        at = f"FMR {self.fmr:g}" if self.fmr is not None else f"{self.decision_threshold:g}"
        return f"{self.error.upper()} at {at}, threshold {self.threshold_policy}"


def _cases(settings: EvaluationSettings) -> Iterator[_Case]:
    for policy, error in product(settings.threshold_policies, settings.errors):
        if policy == "per_discard" and error == "fmr":
            continue  # the FMR is what is held there
        yield from (_Case(error, policy, fmr, None) for fmr in settings.fmrs)
        if policy == "fixed":
            yield from (_Case(error, policy, None, t) for t in settings.decision_thresholds)


class _Comparisons:
    """The comparisons of a protocol that a network could score."""

    def __init__(self, protocol: Protocol, verification: Verification, missing: str) -> None:
        self.protocol, self.network = protocol, verification.network
        scores = verification.comparison_scores
        self.left_out = int(np.count_nonzero(np.isnan(scores)))
        self.sample_a, self.sample_b = protocol.sample_a, protocol.sample_b
        self.mated, self.scores = protocol.mated, scores
        if self.left_out:
            if missing == "error":
                raise InvalidArgumentError(
                    f"evaluate: expected an embedding by {self.network} for every sample of"
                    f" {protocol.name}, got {self.left_out} comparisons with a sample that has none"
                    f" ({self._list_unembedded(scores)}); say what shall happen: --missing drop"
                )
            scored = ~np.isnan(scores)
            self.sample_a, self.sample_b = self.sample_a[scored], self.sample_b[scored]
            self.mated, self.scores = self.mated[scored], scores[scored]
        self.mated_scores, self.non_mated_scores = split_scores(self.scores, self.mated)

    def _list_unembedded(self, scores: ScoreArray) -> str:
        first = np.flatnonzero(np.isnan(scores))[:3]
        names = [
            f"{self.protocol.samples[self.protocol.sample_a[n]]} with"
            f" {self.protocol.samples[self.protocol.sample_b[n]]}"
            for n in first.tolist()
        ]
        return ", ".join(names) + (", ..." if self.left_out > len(names) else "")

    @property
    def groups(self) -> Groups | None:
        """The identities of the samples, where they are known."""
        identity = self.protocol.identity
        if identity is None:
            return None
        count = int(identity.max()) + 1
        return Groups(identity[self.sample_a], identity[self.sample_b], count)

    def levels(self, method: MethodScores, settings: EvaluationSettings) -> PairLevels:
        """The comparisons in the order in which a method discards them."""
        quality = orient_scores(
            method.raw_scores,
            higher_is_better=method.higher_is_better,
            missing=settings.missing,
            names=self.protocol.samples,
        )
        return pair_levels(quality, self.sample_a, self.sample_b, settings.pair_quality)

    def error_rates(self, fmrs: Sequence[float]) -> ErrorRatesRecord:
        """What the network does without any discarding."""
        whole = trace_det(self.mated_scores, self.non_mated_scores)
        det = thin_det(whole, MAX_POINTS)
        return ErrorRatesRecord(
            data_set=self.protocol.name,
            verification_network=self.network,
            mated_count=len(self.mated_scores),
            non_mated_count=len(self.non_mated_scores),
            eer=equal_error_rate(whole)[0],
            det_fmr=tuple(det.fmr.tolist()),
            det_fnmr=tuple(det.fnmr.tolist()),
            fnmr_at_fmr={
                f"{fmr:g}": false_non_match_rate(
                    self.mated_scores, find_decision_threshold(self.non_mated_scores, fmr)
                )
                for fmr in fmrs
            },
        )


def _curves(
    comparisons: _Comparisons,
    methods: Sequence[MethodScores],
    levels: Sequence[PairLevels],
    case: _Case,
    settings: EvaluationSettings,
) -> tuple[list[CurveRecord], BootstrapDraws | None]:
    """The curves of all methods, and their areas over the bootstrap's draws."""
    rules = AREAS[case.threshold_policy]
    bootstrapped = None
    if settings.bootstrap_repeats and case.error == "fnmr":
        bootstrapped = bootstrap_areas(
            levels,
            comparisons.scores,
            comparisons.mated,
            comparisons.groups,
            rules,
            fmr=case.fmr,
            decision_threshold=case.decision_threshold,
            threshold_policy=case.threshold_policy,
            repeats=settings.bootstrap_repeats,
            seed=settings.seed,
        )
    records = []
    for place, (method, of_method) in enumerate(zip(methods, levels, strict=True)):
        curve = _trace(comparisons, of_method, case)
        areas = [_area(curve, rule) for rule in rules]
        if bootstrapped is not None:
            areas = [
                _with_intervals(area, bootstrapped, place, number, settings.confidence)
                for number, area in enumerate(areas)
            ]
        thin = thin_points(curve.discard_fraction)
        records.append(
            CurveRecord(
                data_set=comparisons.protocol.name,
                method=method.method,
                quality_network=method.quality_network,
                verification_network=comparisons.network,
                error=case.error,
                threshold_policy=case.threshold_policy,
                pair_quality=settings.pair_quality,
                fmr=case.fmr,
                decision_threshold=float(curve.decision_threshold[0]),
                mated_count=len(comparisons.mated_scores),
                non_mated_count=len(comparisons.non_mated_scores),
                discard_fraction=tuple(curve.discard_fraction[thin].tolist()),
                error_rate=tuple(curve.error_rate[thin].tolist()),
                areas=tuple(areas),
                warnings=_warnings(comparisons, curve, case, settings),
            )
        )
    return records, bootstrapped


def _trace(comparisons: _Comparisons, levels: PairLevels, case: _Case) -> EdcCurve:
    scores, mated = comparisons.scores, comparisons.mated
    if case.threshold_policy == "per_discard" and case.fmr is not None:
        return per_discard_curve(levels, scores, mated, case.fmr)
    threshold = case.decision_threshold
    if case.fmr is not None:
        threshold = threshold_at_fmr(levels, scores, mated, case.fmr)
    return fixed_threshold_curve(levels, scores, mated, threshold or 0.0, case.error)


def _area(curve: EdcCurve, rule: AreaRule) -> Area:
    value = area_under_edc(curve.discard_fraction, curve.error_rate, rule.limit, rule.rule)
    start = float(curve.error_rate[0])
    best = area_under_best(start, rule.limit) if rule.rule == "step" else None
    return Area(
        rule=rule.rule,
        limit=rule.limit,
        value=value,
        normalised=normalised_area(value, start, rule.limit),
        above_best=None if best is None else value - best,
    )


def _with_intervals(
    area: Area, draws: BootstrapDraws, method: int, number: int, confidence: float
) -> Area:
    interval = confidence_interval(draws.areas[:, method, number], confidence)
    if np.isnan(interval.low):
        return area
    area = replace(area, low=interval.low, high=interval.high)
    interval = confidence_interval(draws.normalised(method, number, area.limit), confidence)
    if np.isnan(interval.low):
        return area
    return replace(area, normalised_low=interval.low, normalised_high=interval.high)


def _paired_tests(
    records: Sequence[CurveRecord], draws: BootstrapDraws, settings: EvaluationSettings
) -> list[PairedTestRecord]:
    """Every method against the reference, for each area."""
    tests = []
    for number, area in enumerate(records[0].areas):
        values = [record.areas[number].value for record in records]
        reference = int(np.argmin(values))
        if settings.reference is not None:
            reference = [r.method for r in records].index(settings.reference)
        of_reference = draws.areas[:, reference, number]
        for place, record in enumerate(records):
            if place == reference:
                continue
            of_method = draws.areas[:, place, number]
            interval = confidence_interval(of_reference - of_method, settings.confidence)
            if np.isnan(interval.low):
                continue
            tests.append(
                PairedTestRecord(
                    data_set=record.data_set,
                    verification_network=record.verification_network,
                    threshold_policy=record.threshold_policy,
                    fmr=record.fmr,
                    rule=area.rule,
                    limit=area.limit,
                    method_a=records[reference].method,
                    method_b=record.method,
                    difference=values[reference] - values[place],
                    low=interval.low,
                    high=interval.high,
                    p_value=paired_p_value(of_reference, of_method),
                )
            )
    return tests


def _warnings(
    comparisons: _Comparisons, curve: EdcCurve, case: _Case, settings: EvaluationSettings
) -> tuple[str, ...]:
    warnings = []
    too_few = describe_resolution(len(comparisons.non_mated_scores), case.fmr or 0.5)
    if case.fmr is not None and too_few:
        warnings.append(too_few)
    errors = round(float(curve.error_rate[0]) * int(curve.kept[0]))
    if errors < _FEW_ERRORS:
        warnings.append(
            f"only {errors} of {curve.kept[0]} comparisons are wrong before anything is discarded:"
            " the curve moves by single ones"
        )
    if settings.bootstrap_repeats and comparisons.groups is None:
        warnings.append("no identities are known: intervals are over comparisons, and too narrow")
    return tuple(warnings)


def thin_points(discard_fraction: Float64Array) -> np.ndarray:
    """Positions of at most MAX_POINTS points, spread evenly over the discard fraction."""
    if len(discard_fraction) <= MAX_POINTS:
        return np.arange(len(discard_fraction))
    wanted = np.linspace(0, discard_fraction[-1], MAX_POINTS)
    return np.unique(np.searchsorted(discard_fraction, wanted))


def _check(
    protocol: Protocol,
    methods: Sequence[MethodScores],
    verifications: Sequence[Verification],
    settings: EvaluationSettings,
) -> None:
    for method in methods:
        if method.raw_scores.shape != (len(protocol.samples),):
            raise InvalidArgumentError(
                f"evaluate: expected scores of {method.method} of shape [{len(protocol.samples)}],"
                f" got {list(method.raw_scores.shape)}; give one for each sample of"
                f" {protocol.name}, NaN where there is none"
            )
    for verification in verifications:
        if verification.comparison_scores.shape != protocol.mated.shape:
            raise InvalidArgumentError(
                f"evaluate: expected comparison scores by {verification.network} of shape"
                f" {list(protocol.mated.shape)}, got {list(verification.comparison_scores.shape)};"
                f" give one for each comparison of {protocol.name}"
            )
    names = [method.method for method in methods]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InvalidArgumentError(
            f"evaluate: expected a name of its own for each method, got {', '.join(sorted(twice))}"
            " twice; name the network behind it, such as 'magface (iresnet100)'"
        )
    if settings.reference is not None and settings.reference not in names:
        raise InvalidArgumentError(
            f"evaluate: expected reference to be one of {', '.join(names)}, got"
            f" {settings.reference!r}; check the spelling"
        )
