from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.areas import area_under_best, area_under_edc, normalised_area

FRACTION = np.asarray([0.0, 0.1, 0.4, 1.0])
RATE = np.asarray([0.2, 0.1, 0.05, 0.0])


def test_steps_hold_the_rate_until_the_next_point() -> None:
    assert area_under_edc(FRACTION, RATE, 0.1, "step") == pytest.approx(0.02)
    assert area_under_edc(FRACTION, RATE, 0.3, "step") == pytest.approx(0.02 + 0.02)
    assert area_under_edc(FRACTION, RATE, 1, "step") == pytest.approx(0.02 + 0.03 + 0.03)


def test_trapezoids_join_the_points_by_lines() -> None:
    assert area_under_edc(FRACTION, RATE, 0.1, "trapezoid") == pytest.approx(0.015)
    # At .25 the line between .1 and .05 is at .075.
    assert area_under_edc(FRACTION, RATE, 0.25, "trapezoid") == pytest.approx(0.015 + 0.013125)


@given(rate=st.floats(0, 1), limit=st.floats(0.01, 1))
def test_random_discarding_has_a_normalised_area_of_one(rate: float, limit: float) -> None:
    flat = np.asarray([rate, rate])

    for rule in ("step", "trapezoid"):
        area = area_under_edc(np.asarray([0.0, 1.0]), flat, limit, rule)
        assert area == pytest.approx(rate * limit)
        if rate > 1e-6:
            assert normalised_area(area, rate, limit) == pytest.approx(1)


def test_nothing_wrong_cannot_be_normalised() -> None:
    assert normalised_area(0.0, 0.0, 0.2) is None


@given(error=st.floats(0, 1), limit=st.floats(0.01, 1))
def test_the_best_area_is_a_triangle_cut_at_the_limit(error: float, limit: float) -> None:
    x = np.linspace(0, limit, 20_001)
    height = np.maximum(error - x, 0)

    assert area_under_best(error, limit) == pytest.approx(np.trapezoid(height, x), abs=1e-7)


@pytest.mark.parametrize(("rule", "limit"), [("steps", 0.2), ("step", 0.0), ("trapezoid", 1.1)])
def test_unknown_rules_and_limits(rule: str, limit: float) -> None:
    with pytest.raises(InvalidArgumentError, match="0 < limit <= 1, got"):
        area_under_edc(FRACTION, RATE, limit, rule)
