"""What an evaluation found: plain records, kept as one JSON file that reports are made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fiqa_fast.errors import ResultsError
from fiqa_fast.whole_file import write_whole

FORMAT = "fiqa_fast evaluation, version 1"
FILE_NAME = "evaluation.json"


@dataclass(frozen=True)
class Area:
    """One number that sums a curve up; smaller is better.

    Attributes:
        rule: "trapezoid" (CR-FIQA, GraFIQs: over 0, .05, ... .95) or "step" (every distinct
            quality a step).
        limit: up to which discard fraction, above 0 and at most 1.
        value: the area, not divided by anything.
        normalised: `value` / (error rate without discarding * limit): 1 is as good as random
            discarding, below is better; None where nothing is wrong without discarding.
        above_best: `value` minus that of a method that discards all errors first; None for the
            trapezoid.
        low, high: confidence interval of `value`, where it was bootstrapped.
        normalised_low, normalised_high: that of `normalised`: whether a method is better than
            random discarding is decided by it.
    """

    rule: str
    limit: float
    value: float
    normalised: float | None = None
    above_best: float | None = None
    low: float | None = None
    high: float | None = None
    normalised_low: float | None = None
    normalised_high: float | None = None


@dataclass(frozen=True)
class CurveRecord:
    """The EDC curve of one method on one data set at one decision threshold.

    Attributes:
        data_set: its name, such as "LFW".
        method: the quality method and output, such as "grafiqs/b2".
        quality_network: the network that the method ran on; "" where there is none.
        verification_network: what gave the comparison scores.
        error: "fnmr" or "fmr".
        threshold_policy: "fixed" or "per_discard".
        pair_quality: "min", "mean" or "product" of the two samples.
        fmr: the false match rate that was asked for; None where a threshold was.
        decision_threshold: comparison scores at or above it match (before anything is discarded).
        mated_count, non_mated_count: comparisons.
        discard_fraction: ascending from 0; at most some hundred points are kept.
        error_rate: of those that are kept, for each discard fraction.
        areas: the numbers that sum the curve up.
        warnings: what limits the figures, in words.
    """

    data_set: str
    method: str
    quality_network: str
    verification_network: str
    error: str
    threshold_policy: str
    pair_quality: str
    fmr: float | None
    decision_threshold: float
    mated_count: int
    non_mated_count: int
    discard_fraction: tuple[float, ...]
    error_rate: tuple[float, ...]
    areas: tuple[Area, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ErrorRatesRecord:
    """Recognition without any discarding, of one network on one data set.

    Attributes:
        eer: equal error rate, 0..1.
        det_fmr, det_fnmr: the DET curve, both 0..1; at most some hundred points.
        fnmr_at_fmr: for each FMR, as text such as "0.001", the FNMR.
    """

    data_set: str
    verification_network: str
    mated_count: int
    non_mated_count: int
    eer: float
    det_fmr: tuple[float, ...]
    det_fnmr: tuple[float, ...]
    fnmr_at_fmr: Mapping[str, float]


@dataclass(frozen=True)
class DistributionRecord:
    """Histogram of a method's raw scores on a data set.

    Attributes:
        edges: len(counts) + 1 ascending bounds.
        missing: samples without a score.
    """

    data_set: str
    method: str
    higher_is_better: bool
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int = 0


@dataclass(frozen=True)
class AgreementRecord:
    """How far the methods order the samples of a data set alike.

    Attributes:
        spearman, kendall: a row for each method; None where one of the two orders nothing.
    """

    data_set: str
    methods: tuple[str, ...]
    spearman: tuple[tuple[float | None, ...], ...]
    kendall: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class PairedTestRecord:
    """Whether one method's area is smaller than another's, by bootstrap over the identities.

    Attributes:
        difference: area of `method_a` minus area of `method_b`; below 0: a is better.
        low, high: its confidence interval.
        p_value: two-sided.
    """

    data_set: str
    verification_network: str
    threshold_policy: str
    fmr: float | None
    rule: str
    limit: float
    method_a: str
    method_b: str
    difference: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class TemplateRecord:
    """Template verification with quality-weighted pooling (CR-FIQA's IJB-C protocol).

    Attributes:
        weighting: the method whose quality weighs the images; "" for none.
        tar_at_far: for each FAR, as text such as "0.0001", the TAR.
    """

    data_set: str
    verification_network: str
    weighting: str
    template_count: int
    mated_count: int
    non_mated_count: int
    tar_at_far: Mapping[str, float]


@dataclass(frozen=True)
class RuntimeRecord:
    """What a face cost while the scores were made."""

    method: str
    network: str
    ms_per_face: float
    device: str
    precision: str
    engine: str


@dataclass(frozen=True)
class LadderRecord:
    """Mean rank of a method's scores at each level of a degradation; 1 is best, 0 is worst.

    Attributes:
        levels: 0 is the clean crop.
        mean_rank: of the scores (higher is better) among all samples, scaled to 0..1.
        spearman: mean over the photographs of the rank correlation of score and level.
    """

    method: str
    degradation: str
    levels: tuple[int, ...]
    mean_rank: tuple[float, ...]
    spearman: float | None


@dataclass(frozen=True)
class LabelChangeRecord:
    """How an optimisation of quality labels moved the samples of a data set.

    Attributes:
        before, after: methods whose scores are the labels before and after it.
        count: samples that both scored.
        moved_fraction: part of them whose rank changed, 0..1.
        spearman: rank correlation of both; None where one of them orders nothing.
        before_rank, after_rank: of the samples that a scatter shows, at most some thousand: rank of
            the label among all samples, 0 (lowest quality) to 1, equal labels sharing their mean.
    """

    data_set: str
    before: str
    after: str
    count: int
    moved_fraction: float
    spearman: float | None
    before_rank: tuple[float, ...]
    after_rank: tuple[float, ...]


@dataclass(frozen=True)
class EvaluationResult:
    """Everything that an evaluation found.

    Attributes:
        title: in words.
        settings: facts for the head of a report, by name.
        notes: what a reader must know, such as how small a data set is.
    """

    title: str
    settings: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    curves: tuple[CurveRecord, ...] = ()
    error_rates: tuple[ErrorRatesRecord, ...] = ()
    distributions: tuple[DistributionRecord, ...] = ()
    agreements: tuple[AgreementRecord, ...] = ()
    paired_tests: tuple[PairedTestRecord, ...] = ()
    templates: tuple[TemplateRecord, ...] = ()
    runtimes: tuple[RuntimeRecord, ...] = ()
    ladder: tuple[LadderRecord, ...] = ()
    label_changes: tuple[LabelChangeRecord, ...] = ()


def join_results(
    title: str, settings: Mapping[str, str], results: Sequence[EvaluationResult]
) -> EvaluationResult:
    """The records of several evaluations, such as those of several data sets, as one."""
    names = [f.name for f in fields(EvaluationResult) if f.name not in ("title", "settings")]
    records: dict[str, Any] = {
        name: tuple(record for result in results for record in getattr(result, name))
        for name in names
    }
    return EvaluationResult(title=title, settings=settings, **records)


def write_result(result: EvaluationResult, path: Path) -> None:
    """Writes a JSON file, which appears, or replaces another one, when it is whole.

    Raises:
        ResultsError: the file cannot be written there.
    """
    content = {"format": FORMAT, **asdict(result)}
    try:
        write_whole(path, json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise ResultsError(
            f"evaluate: expected to be able to write {path}, got {error.strerror};"
            " choose another folder"
        ) from error


def read_result(path: Path) -> EvaluationResult:
    """Reads what `write_result` wrote.

    Raises:
        ResultsError: no such file, or not one of this format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        return _result(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(
            f"report: expected the {FILE_NAME} of `fiqa-fast evaluate`, got {path}"
            f" ({type(error).__name__}: {error}); run `fiqa-fast evaluate` again"
        ) from error


def _result(content: dict[str, Any]) -> EvaluationResult:
    for curve in content["curves"]:
        curve["areas"] = [Area(**area) for area in curve["areas"]]
    kinds: dict[str, type[Any]] = {
        "curves": CurveRecord,
        "error_rates": ErrorRatesRecord,
        "distributions": DistributionRecord,
        "agreements": AgreementRecord,
        "paired_tests": PairedTestRecord,
        "templates": TemplateRecord,
        "runtimes": RuntimeRecord,
        "ladder": LadderRecord,
        "label_changes": LabelChangeRecord,
    }
    content.setdefault("label_changes", [])  # the first files of this format are without
    records: dict[str, Any] = {
        name: tuple(kind(**_with_tuples(entry)) for entry in content.pop(name))
        for name, kind in kinds.items()
    }
    return EvaluationResult(**_with_tuples(content), **records)


def _with_tuples(content: dict[str, Any]) -> dict[str, Any]:
    return {name: _tuples(value) for name, value in content.items()}


def _tuples(value: Any) -> Any:
    """Lists, which JSON has, as the tuples that they were."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
