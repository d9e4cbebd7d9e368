import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.calibration import (
    Calibration,
    find_calibration,
    fit_percentiles,
    from_json,
    packaged_calibrations,
    to_json,
)
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.registry import create_scorer, list_scorers


@pytest.fixture(scope="module")
def grafiqs(sface32):
    return create_scorer("grafiqs", backbone=sface32)


def test_quality_is_the_share_of_the_reference_that_is_beaten(sface32, grafiqs):
    norm = create_scorer("embedding-norm", backbone=sface32)
    higher = fit_percentiles(norm, "score", range(101), "numbers")
    assert higher.quality(25) == pytest.approx(25)
    assert higher.quality(-5) == 0
    assert higher.quality(500) == 100
    lower = fit_percentiles(grafiqs, "b2", range(101), "numbers")
    assert lower.quality(25) == pytest.approx(75)
    assert lower.reference_set == "numbers (101 faces)"


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50), st.floats(-2e6, 2e6))
def test_quality_is_bounded_and_monotone(raw_scores, value):
    knots = np.percentile(raw_scores, np.linspace(0, 100, 101))
    calibration = Calibration("s", "o", "official", {}, "n", "0", True, "r", tuple(knots))
    assert 0 <= calibration.quality(value) <= 100
    assert calibration.quality(value) <= calibration.quality(value + 1)


def test_round_trip(grafiqs):
    calibrations = [fit_percentiles(grafiqs, "b2", [1.0, 2.0, 4.0], "three")]
    assert from_json(to_json(calibrations)) == calibrations


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, float("nan")]])
def test_too_few_scores(grafiqs, scores):
    with pytest.raises(InvalidArgumentError, match="at least 2 finite raw_scores"):
        fit_percentiles(grafiqs, "b2", scores, "nothing")


@pytest.mark.parametrize("text", ["", "3", "[1]", '[{"scorer": "x"}]'])
def test_damaged_file(text):
    with pytest.raises(InvalidArgumentError, match="expected a JSON list of calibrations"):
        from_json(text)


def test_every_method_is_calibrated_on_the_default_network(sface32):
    for spec in list_scorers():
        for variant in spec.variants or ("official",):
            scorer = create_scorer(spec.name, backbone=sface32, variant=variant)
            for output in spec.outputs:
                found = find_calibration(scorer, output)
                assert isinstance(found, Calibration), (spec.name, variant, output)
                assert "186 faces" in found.reference_set
                assert list(found.raw_scores) == sorted(found.raw_scores)


def test_packaged_calibrations_are_unique():
    keys = [(c.scorer, c.output, c.variant, str(c.parameters)) for c in packaged_calibrations()]
    assert len(set(keys)) == len(keys)


def test_no_quality_for_what_was_not_calibrated(sface32, monkeypatch):
    scorer = create_scorer("faceqan", backbone=sface32, k=5)
    assert find_calibration(scorer, "score") == (
        "no calibration for the parameters {'k': 5, 'l': 5, 'eps': 0.001, 'p': 5}"
    )
    grafiqs = create_scorer("grafiqs", backbone=sface32)
    monkeypatch.setattr(sface32, "weights_sha256", "0" * 64)
    assert find_calibration(grafiqs, "b2") == "no calibration for these weights of sface"
    monkeypatch.setattr(sface32, "precision", "bf16")
    assert find_calibration(grafiqs, "b2") == "calibrated for float32 only, not for bf16"
