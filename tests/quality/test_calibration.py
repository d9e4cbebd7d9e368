import math
from dataclasses import replace

import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.quality.calibration import DiscardThreshold
from fiqa_fast.quality.fit import fit_calibration

KINDS = ("percentile", "sigmoid")


@pytest.mark.parametrize("kind", KINDS)
def test_higher_quality_is_better_in_both_polarities(make_reference, kind):
    raw = np.random.default_rng(0).normal(size=200)
    higher = fit_calibration(make_reference(raw), reference_set="r", kind=kind)
    lower = fit_calibration(
        make_reference(-raw, higher_is_better=False), reference_set="r", kind=kind
    )
    values = [-1e300, -2.0, -0.5, 0.0, 0.1, 3.0, 1e300]
    qualities = [higher.quality(v) for v in values]
    assert qualities == sorted(qualities)
    assert (qualities[0], qualities[-1]) == (pytest.approx(0, abs=1e-300), 100)
    assert [lower.quality(-v) for v in values] == pytest.approx(qualities, abs=1e-9)


def test_a_percentile_is_the_share_of_the_reference_that_is_beaten(make_reference):
    lower = make_reference(np.arange(101), higher_is_better=False)
    assert fit_calibration(lower, reference_set="r").quality(25) == pytest.approx(75)


def test_a_lower_is_better_sigmoid_is_the_formula_with_the_sign_turned(make_reference):
    raw = np.linspace(0, 4, 41)
    calibration = fit_calibration(
        make_reference(raw, higher_is_better=False), reference_set="r", kind="sigmoid"
    )
    w = -2 / (2 * math.log(3))  # quartiles 1 and 3
    for value in (0.0, 1.0, 2.5):
        expected = 100 / (1 + math.exp(-(value - 2) / w))
        assert calibration.quality(value) == pytest.approx(expected)


def test_what_a_calibration_says_of_itself(make_reference):
    calibration = fit_calibration(make_reference(range(30)), reference_set="thirty")
    assert (calibration.reference_set, calibration.face_count) == ("thirty", 30)
    assert calibration.fiqa_fast_version == "0.1.0"
    assert calibration.discard is None
    assert not calibration.is_below_threshold(-1e9)


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_faces_below_the_threshold(make_reference, higher_is_better):
    calibration = fit_calibration(
        make_reference(range(30), higher_is_better=higher_is_better), reference_set="r"
    )
    discard = DiscardThreshold(
        *("fnmr", 0.1, 7.0, 20.0, 0.1, 0.1, 0.2, 0.1, 0.01, 0.01, 0.5, 10, 10, ())
    )
    with_threshold = replace(calibration, discard=discard)
    assert with_threshold.is_below_threshold(6.9) == higher_is_better
    assert with_threshold.is_below_threshold(7.1) != higher_is_better
    assert not with_threshold.is_below_threshold(7.0)
    unreached = replace(calibration, discard=replace(discard, raw_score=None, quality=None))
    assert not unreached.is_below_threshold(6.9)
    assert not unreached.is_below_threshold(7.1)


def test_equal_content_has_an_equal_digest(make_reference):
    a = fit_calibration(make_reference(range(30)), reference_set="r")
    b = fit_calibration(make_reference(range(30)), reference_set="r")
    c = fit_calibration(make_reference(range(30)), reference_set="other")
    assert a.digest == b.digest != c.digest
    assert len(a.digest) == 64


def test_an_unknown_kind(make_reference):
    with pytest.raises(InvalidArgumentError, match="one of percentile, sigmoid, got 'spline'"):
        fit_calibration(make_reference(range(30)), reference_set="r", kind="spline")


def test_the_message_names_the_source_that_has_too_few_faces(make_reference):
    with pytest.raises(InvalidArgumentError, match="grafiqs b2: calibration: expected at least 20"):
        fit_calibration(make_reference(range(5)), reference_set="r")
