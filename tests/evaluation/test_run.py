from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.edc import fixed_threshold_curve
from fiqa_fast.evaluation.inputs import EvaluationSettings, MethodScores, Verification
from fiqa_fast.evaluation.pair_quality import pair_levels
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.evaluation.result import EvaluationResult, read_result, write_result
from fiqa_fast.evaluation.run import MAX_POINTS, evaluate_protocol, thin_points

SAMPLES, PAIRS = 300, 4000
RNG = np.random.default_rng(0)
IDENTITY = RNG.integers(0, 30, SAMPLES).astype(np.int32)
A, B = RNG.integers(0, SAMPLES, (2, PAIRS)).astype(np.int32)
B[:2000] = [RNG.choice(np.flatnonzero(IDENTITY[a] == IDENTITY)) for a in A[:2000]]
MATED = IDENTITY[A] == IDENTITY[B]
QUALITY = RNG.random(SAMPLES)
SCORES = RNG.normal(MATED * (0.1 + 0.8 * np.minimum(QUALITY[A], QUALITY[B])), 0.15)


@pytest.fixture
def protocol() -> Protocol:
    return Protocol(
        name="made",
        samples=tuple(f"{n}.png" for n in range(SAMPLES)),
        sources=(),
        aligned=True,
        identity=IDENTITY,
        sample_a=A,
        sample_b=B,
        mated=MATED,
    )


def method(name: str, scores: np.ndarray, higher: bool = True) -> MethodScores:
    return MethodScores(name, "net", higher, scores)


METHODS = [
    method("good", QUALITY),
    method("inverted", QUALITY, higher=False),
    method("random", np.random.default_rng(1).random(SAMPLES)),
]


def evaluate(protocol: Protocol, **settings: object) -> EvaluationResult:
    chosen = EvaluationSettings(**{"fmrs": (0.01,), **settings})  # type: ignore[arg-type]
    return evaluate_protocol(protocol, METHODS, [Verification("net", SCORES)], chosen)


def test_every_method_gets_a_curve_for_each_case(protocol: Protocol) -> None:
    result = evaluate(
        protocol, fmrs=(0.1, 0.01), decision_thresholds=(0.3,), errors=("fnmr", "fmr")
    )

    cases = {(c.error, c.threshold_policy, c.fmr) for c in result.curves}
    assert len(result.curves) == 3 * len(cases)
    assert cases == {
        ("fnmr", "fixed", 0.1), ("fnmr", "fixed", 0.01), ("fnmr", "fixed", None),
        ("fmr", "fixed", 0.1), ("fmr", "fixed", 0.01), ("fmr", "fixed", None),
        ("fnmr", "per_discard", 0.1), ("fnmr", "per_discard", 0.01),
    }  # fmt: skip
    (rates,) = result.error_rates
    assert rates.mated_count == MATED.sum()
    assert set(rates.fnmr_at_fmr) == {"0.1", "0.01"}
    assert 0 < rates.eer < rates.fnmr_at_fmr["0.01"] < 1


def test_a_record_is_the_curve_of_the_functions(protocol: Protocol) -> None:
    result = evaluate(protocol, decision_thresholds=(0.3,), threshold_policies=("fixed",))

    record = next(c for c in result.curves if c.method == "good" and c.fmr is None)
    curve = fixed_threshold_curve(pair_levels(QUALITY, A, B), SCORES, MATED, 0.3)
    thin = thin_points(curve.discard_fraction)
    assert record.error_rate == tuple(curve.error_rate[thin])
    assert record.decision_threshold == 0.3


def test_good_beats_random_beats_inverted(protocol: Protocol) -> None:
    result = evaluate(protocol)

    for policy in ("fixed", "per_discard"):
        area = {c.method: c.areas[-1].value for c in result.curves if c.threshold_policy == policy}
        assert area["good"] < area["random"] < area["inverted"]
        normalised = next(
            c.areas[-1].normalised
            for c in result.curves
            if c.threshold_policy == policy and c.method == "good"
        )
        assert normalised is not None
        assert normalised < 1


def test_intervals_and_paired_tests(protocol: Protocol) -> None:
    result = evaluate(protocol, bootstrap_repeats=40, threshold_policies=("fixed",))

    for curve in result.curves:
        for area in curve.areas:
            assert area.low is not None
            assert area.high is not None
            assert area.low <= area.high
    tests = [t for t in result.paired_tests if t.limit == 0.95]
    assert {(t.method_a, t.method_b) for t in tests} == {("good", "inverted"), ("good", "random")}
    assert all(t.p_value < 0.05 and t.difference < 0 and t.high < 0 for t in tests)
    against = evaluate(
        protocol, bootstrap_repeats=5, threshold_policies=("fixed",), reference="random"
    )
    assert {t.method_a for t in against.paired_tests} == {"random"}


def test_a_result_survives_its_file(protocol: Protocol, tmp_path: Path) -> None:
    result = evaluate(protocol, bootstrap_repeats=3)

    write_result(result, tmp_path / "evaluation.json")

    assert read_result(tmp_path / "evaluation.json") == result


def test_missing_scores_are_an_error_or_treated_as_asked(protocol: Protocol) -> None:
    gaps = QUALITY.copy()
    gaps[:30] = np.nan
    scores = [Verification("net", SCORES)]

    with pytest.raises(InvalidArgumentError, match=r"got none for 30: 0\.png"):
        evaluate_protocol(protocol, [method("g", gaps)], scores, EvaluationSettings())
    for missing in ("lowest", "drop"):
        settings = EvaluationSettings(fmrs=(0.01,), missing=missing)
        result = evaluate_protocol(protocol, [method("g", gaps)], scores, settings)
        assert len(result.curves) == 2


def test_comparisons_without_an_embedding(protocol: Protocol) -> None:
    gaps = np.where(A == 7, np.nan, SCORES)
    verification = [Verification("net", gaps)]

    with pytest.raises(InvalidArgumentError, match=r"embedding by net .* 7\.png with"):
        evaluate_protocol(protocol, METHODS, verification, EvaluationSettings())
    result = evaluate_protocol(
        protocol, METHODS, verification, EvaluationSettings(fmrs=(0.01,), missing="drop")
    )
    assert f"{int((A == 7).sum())} comparisons have" in result.notes[0]


def test_warnings_say_what_limits_the_figures(protocol: Protocol) -> None:
    result = evaluate(protocol, fmrs=(1e-6,))
    assert any("cannot resolve an FMR of 1e-06" in w for w in result.curves[0].warnings)

    result = evaluate(protocol, decision_thresholds=(-5.0,), threshold_policies=("fixed",))
    (easy, *_) = (c for c in result.curves if c.fmr is None)
    assert any("only 0 of" in w for w in easy.warnings)


def test_unknown_identities_are_said(protocol: Protocol) -> None:
    unknown = Protocol(**{**vars(protocol), "identity": None})

    result = evaluate(unknown, bootstrap_repeats=3, threshold_policies=("fixed",))

    assert any("too narrow" in w for w in result.curves[0].warnings)


@pytest.mark.parametrize(
    ("methods", "scores", "message"),
    [
        ([method("a", QUALITY[:5])], SCORES, r"scores of a of shape \[300\], got \[5\]"),
        ([method("a", QUALITY)], SCORES[:5], r"by net of shape \[4000\], got \[5\]"),
        ([method("a", QUALITY)] * 2, SCORES, "a name of its own for each method, got a twice"),
    ],
)
def test_what_does_not_fit(
    protocol: Protocol, methods: list[MethodScores], scores: np.ndarray, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        evaluate_protocol(protocol, methods, [Verification("net", scores)], EvaluationSettings())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fmrs": (0.0,)}, "expected 0 < fmr < 1, got 0.0"),
        ({"fmrs": ()}, "expected an FMR or a decision threshold"),
        ({"threshold_policies": ("iso",)}, "threshold_policies to be of fixed, per_discard, got"),
        ({"errors": ()}, "errors to be of fnmr, fmr, got none"),
        ({"pair_quality": "max"}, "pair_quality to be of min, mean, product, got max"),
        ({"confidence": 95}, "0 < confidence < 1, got 95"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        EvaluationSettings(**settings)  # type: ignore[arg-type]


def test_an_unknown_reference(protocol: Protocol) -> None:
    with pytest.raises(InvalidArgumentError, match="one of good, inverted, random, got 'best'"):
        evaluate(protocol, reference="best")


def test_thin_points_keep_the_ends() -> None:
    fraction = np.sort(np.random.default_rng(0).random(5000))
    fraction[0], fraction[-1] = 0, 1

    thin = thin_points(fraction)

    assert 100 < len(thin) <= MAX_POINTS
    assert (thin[0], thin[-1]) == (0, 4999)
