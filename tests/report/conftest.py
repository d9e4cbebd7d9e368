"""Fabricated tables of scores, with the columns that `fiqa-fast score` writes, and evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fiqa_fast.evaluation.result import (
    AgreementRecord,
    Area,
    CurveRecord,
    DistributionRecord,
    ErrorRatesRecord,
    EvaluationResult,
    LabelChangeRecord,
    LadderRecord,
    PairedTestRecord,
    RuntimeRecord,
    TemplateRecord,
)
from fiqa_fast.results import SCHEMA

DIGEST = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"

Row = dict[str, Any]


def _scored(path: str, raw: float, **changes: Any) -> Row:
    row: Row = {
        "path": path,
        "face_index": 0,
        "box": [],
        "landmarks": [],
        "status": "ok",
        "reason": "",
        "note": "",
        "scorer": "grafiqs",
        "output": "b2",
        "raw_score": raw,
        "higher_is_better": False,
        "quality": 50.0,
        "quality_reason": "",
        "backbone": "sface",
        "weights_sha256": DIGEST,
        "variant": "official",
        "precision": "float32",
        "device": "cpu",
        "engine": "torch",
        "seed": None,
        "version": "0.1.0",
        "elapsed_ms": 1.5,
    }
    assert changes.keys() <= row.keys()
    return row | changes


def _failed(path: str, reason: str, note: str, **changes: Any) -> Row:
    unknown: Row = dict.fromkeys(("raw_score", "higher_is_better", "quality", "elapsed_ms"))
    return (
        _scored(path, 0.0)
        | unknown
        | {"status": "failed", "reason": reason, "note": note}
        | changes
    )


@pytest.fixture
def scored() -> Callable[..., Row]:
    """A row of a scored face: path, raw score, and columns that differ from the usual."""
    return _scored


@pytest.fixture
def failed() -> Callable[..., Row]:
    """A row of an image without a score: path, reason, note."""
    return _failed


@pytest.fixture
def make_table() -> Callable[[Sequence[Row]], pa.Table]:
    """Rows -> a table with the schema of scores.parquet."""
    return lambda rows: pa.Table.from_pylist(list(rows), schema=SCHEMA)


@pytest.fixture
def photo() -> Path:
    """A real photograph, 722x899, with one face."""
    return Path(__file__).parents[2] / "examples" / "faces" / "person_a_2.jpg"


METHODS = (
    "grafiqs/b2",
    "faceqan",
    "ser-fiq",
    "embedding-norm",
    "froq",
    "lightqnet",
    "cr-fiqa",
    "brisque",
)
DATA_SETS = ("LFW", "CFP-FP", "XQLFW")


STEP_LIMITS = (0.2, 0.95)


def _curve(
    rng: Any,
    data_set: str,
    method: str,
    fmr: float,
    policy: str,
    network: str = "sface",
    step_limits: Sequence[float] = STEP_LIMITS,
) -> CurveRecord:
    """A curve that falls, by how much depends on the method; the areas are those of the curve."""
    start = {"LFW": 0.012, "CFP-FP": 0.05, "XQLFW": 0.21}.get(data_set, 0.1) * (0.001 / fmr) ** 0.2
    strength = rng.uniform(-0.3, 3.5)
    x = np.arange(20) / 20 if policy == "per_discard" else np.append(np.linspace(0, 0.995, 180), 1)
    wobble = np.cumsum(rng.normal(size=len(x))) * start * 0.08 / np.sqrt(len(x))
    y = np.maximum(start * np.exp(-strength * x) + wobble - wobble[0], 0.0)
    if policy == "fixed":
        y[-1] = 0.0
    rule, limits = ("step", step_limits) if policy == "fixed" else ("trapezoid", (0.95,))
    areas = []
    for limit in limits:
        fine = np.linspace(0, limit, 400)
        value = float(np.trapezoid(np.interp(fine, x, y), fine))
        half = value * rng.uniform(0.05, 0.25)
        relative = value / (start * limit)
        bounds = (value - half, value + half)
        areas.append(
            Area(
                rule, limit, value, relative, None, *bounds, *(b / (start * limit) for b in bounds)
            )
        )
    small = ("only 26 errors at FMR 0.0001: the curve moves in large steps",)
    return CurveRecord(
        data_set=data_set,
        method=method,
        quality_network="" if method == "brisque" else "sface",
        verification_network=network,
        error="fnmr",
        threshold_policy=policy,
        pair_quality="min",
        fmr=fmr,
        decision_threshold=0.3 + 0.04 * (fmr < 0.001),
        mated_count=3000,
        non_mated_count=3000,
        discard_fraction=tuple(x.tolist()),
        error_rate=tuple(y.tolist()),
        areas=tuple(areas),
        warnings=small if data_set == "LFW" and fmr < 0.001 else (),
    )


def _error_rates(rng: Any, data_set: str, network: str) -> ErrorRatesRecord:
    fmr = np.logspace(-4, 0, 60)
    fnmr = np.clip(rng.uniform(0.002, 0.02) * fmr**-0.45, 0, 1)
    fnmr[-1] = 0
    asked = {text: float(np.interp(float(text), fmr, fnmr)) for text in ("0.01", "0.001", "0.0001")}
    eer = float(fmr[np.argmin(np.abs(fmr - fnmr))])
    return ErrorRatesRecord(
        data_set, network, 3000, 3000, eer, tuple(fmr.tolist()), tuple(fnmr.tolist()), asked
    )


def _agreement(rng: Any, data_set: str, methods: tuple[str, ...]) -> AgreementRecord:
    def matrix(scale: float) -> tuple[tuple[float | None, ...], ...]:
        half = np.triu(rng.uniform(-0.3, 0.95, (len(methods), len(methods))), 1) * scale
        both = (half + half.T + np.eye(len(methods))).tolist()
        if len(methods) > 2:
            both[0][2] = both[2][0] = None
        return tuple(map(tuple, both))

    return AgreementRecord(data_set, methods, matrix(1.0), matrix(0.7))


def _label_change(data_set: str, before: str, after: str) -> LabelChangeRecord:
    """A record whose numbers are those of its few samples."""
    ranks = (0.0, 0.25, 0.5, 0.75, 1.0)
    moved = (0.0, 0.5, 0.25, 0.75, 1.0)
    return LabelChangeRecord(data_set, before, after, 5, 0.4, 0.9, ranks, moved)


def _evaluation(
    methods: Sequence[str] = METHODS,
    data_sets: Sequence[str] = DATA_SETS,
    fmrs: Sequence[float] = (0.001, 0.0001),
    seed: int = 7,
    networks: Sequence[str] = ("sface",),
    step_limits: Sequence[float] = STEP_LIMITS,
) -> EvaluationResult:
    rng = np.random.default_rng(seed)
    curves = tuple(
        _curve(rng, data_set, method, fmr, policy, network, step_limits)
        for data_set in data_sets
        for network in networks
        for fmr in fmrs
        for policy in ("fixed", "per_discard")
        for method in methods
    )
    distributions = []
    for data_set in data_sets:
        for method in methods:
            counts, edges = np.histogram(rng.gamma(4, 1, 2000), bins=24)
            distributions.append(
                DistributionRecord(
                    data_set,
                    method,
                    method != "grafiqs/b2",
                    tuple(edges.tolist()),
                    tuple(counts.tolist()),
                    missing=3 * (method == "faceqan"),
                )
            )
    tests = tuple(
        PairedTestRecord(
            d, "sface", "fixed", fmrs[0], "step", 0.2, a, b, diff, diff - h, diff + h, p
        )
        for d in data_sets
        for i, a in enumerate(methods)
        for b in methods[i + 1 :]
        for diff, h in [(rng.normal(0, 0.002), rng.uniform(0.0005, 0.004))]
        for p in [math.erfc(1.386 * abs(diff) / h)]
    )
    ladder = tuple(
        LadderRecord(
            method,
            degradation,
            tuple(range(6)),
            tuple(np.clip(0.9 - rate * np.arange(6) + rng.normal(0, 0.02, 6), 0, 1).tolist()),
            None if rate < 0.02 else -min(1.0, rate * 7),
        )
        for degradation in ("blur", "noise", "JPEG", "darkness", "occlusion", "rotation")
        for method in methods
        for rate in [rng.uniform(0.0, 0.15)]
    )
    return EvaluationResult(
        title="Seven methods on SFace",
        settings={"verification network": "sface", "seed": "7", "version": "0.1.0"},
        notes=("XQLFW holds 6,000 comparisons: below an FMR of 0.001 its rates are rough.",),
        curves=curves,
        error_rates=tuple(
            _error_rates(rng, d, network) for d in data_sets for network in ("sface", "iresnet50")
        ),
        distributions=tuple(distributions),
        agreements=tuple(_agreement(rng, d, tuple(methods)) for d in data_sets),
        paired_tests=tests,
        templates=tuple(
            TemplateRecord(
                "IJB-C",
                "sface",
                weighting,
                23124,
                19557,
                15638932,
                {"0.0001": rng.uniform(0.85, 0.9), "0.00001": rng.uniform(0.7, 0.85)},
            )
            for weighting in ("", *methods)
        ),
        runtimes=tuple(
            RuntimeRecord(m, "sface", float(rng.gamma(2, 8)), "cpu", "float32", "torch")
            for m in methods
        ),
        ladder=ladder,
        label_changes=tuple(_label_change(d, methods[0], methods[-1]) for d in data_sets),
    )


@pytest.fixture(scope="session")
def make_evaluation() -> Callable[..., EvaluationResult]:
    """Makes what an evaluation finds: of methods, data sets, FMRs, a seed, networks and limits."""
    return _evaluation
