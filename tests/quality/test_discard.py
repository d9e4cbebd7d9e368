"""Compared with loops that are written from the definitions alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.quality.discard import (
    find_decision_threshold,
    step_for_discard_fraction,
    step_for_fnmr,
    trace_discard_steps,
)

# Few distinct values, so that ties are common.
SCORES = st.lists(st.integers(0, 12).map(lambda n: n / 8), min_size=1, max_size=60)
PAIRS = st.lists(st.tuples(st.integers(-4, 4).map(float), st.booleans()), min_size=1, max_size=40)
FRACTIONS = st.floats(0, 1, exclude_max=True)


def brute_force_decision_threshold(non_mated, fmr):
    """Tries the scores themselves, from low to high, and then anything higher."""
    for threshold in sorted(set(non_mated)):
        if sum(score >= threshold for score in non_mated) / len(non_mated) <= fmr:
            return threshold
    return math.inf


def brute_force_fnmr(pairs, quality_threshold):
    kept = [is_error for quality, is_error in pairs if not quality < quality_threshold]
    return sum(kept) / len(kept)


def brute_force_discard(pairs, quality_threshold):
    return sum(quality < quality_threshold for quality, _ in pairs) / len(pairs)


def trace(pairs):
    quality, non_match = zip(*pairs, strict=True)
    return trace_discard_steps(np.array(quality), np.array(non_match))


@given(SCORES, FRACTIONS)
def test_decision_threshold_makes_the_same_decisions_as_a_loop(non_mated, fmr):
    threshold = find_decision_threshold(np.array(non_mated), fmr)
    expected = brute_force_decision_threshold(non_mated, fmr)
    assert [s >= threshold for s in non_mated] == [s >= expected for s in non_mated]
    assert np.mean(np.array(non_mated) >= threshold) <= fmr
    # It is the lowest: the number below it is a score that would let too many through.
    below = math.nextafter(threshold, -math.inf)
    assert np.mean(np.array(non_mated) >= below) > fmr


@pytest.mark.parametrize(
    ("fmr", "matches"), [(0.29, 29), (0.07, 7), (0.01, 1), (0.0099, 0), (0.0, 0), (0.995, 99)]
)
def test_decision_threshold_counts_exactly(fmr, matches):
    """0.29 * 100 is below 29 in floating point."""
    scores = np.arange(100.0)
    assert (scores >= find_decision_threshold(scores, fmr)).sum() == matches


@given(PAIRS)
def test_steps_are_those_of_a_loop(pairs):
    steps = trace(pairs)
    assert steps.quality_threshold.tolist() == sorted({quality for quality, _ in pairs})
    for threshold, discarded, fnmr in zip(
        steps.quality_threshold, steps.discard_fraction, steps.fnmr, strict=True
    ):
        assert discarded == brute_force_discard(pairs, threshold)
        assert fnmr == brute_force_fnmr(pairs, threshold)


@given(PAIRS, FRACTIONS)
def test_the_step_for_a_discard_fraction_is_the_last_that_keeps_to_it(pairs, fraction):
    steps = trace(pairs)
    step = step_for_discard_fraction(steps, fraction)
    thresholds = sorted({quality for quality, _ in pairs})
    expected = [t for t in thresholds if brute_force_discard(pairs, t) <= fraction]
    assert steps.quality_threshold[step] == expected[-1]


@given(PAIRS, FRACTIONS)
def test_the_step_for_an_fnmr_discards_the_fewest(pairs, fnmr):
    steps = trace(pairs)
    step = step_for_fnmr(steps, fnmr)
    thresholds = sorted({quality for quality, _ in pairs})
    expected = [t for t in thresholds if brute_force_fnmr(pairs, t) <= fnmr]
    assert (None if step is None else steps.quality_threshold[step]) == next(iter(expected), None)


@given(st.data(), PAIRS)
def test_the_order_of_the_comparisons_does_not_matter(data, pairs):
    shuffled = data.draw(st.permutations(pairs))
    a, b = trace(pairs), trace(shuffled)
    np.testing.assert_array_equal(a.quality_threshold, b.quality_threshold)
    np.testing.assert_array_equal(a.discard_fraction, b.discard_fraction)
    np.testing.assert_array_equal(a.fnmr, b.fnmr)


@given(PAIRS)
def test_only_the_order_of_the_qualities_matters(pairs):
    a = trace(pairs)
    b = trace([(math.exp(quality) - 7, is_error) for quality, is_error in pairs])
    np.testing.assert_array_equal(
        b.quality_threshold, [math.exp(q) - 7 for q in a.quality_threshold]
    )
    np.testing.assert_array_equal(a.discard_fraction, b.discard_fraction)
    np.testing.assert_array_equal(a.fnmr, b.fnmr)


def test_an_example_by_hand():
    quality = np.array([1.0, 1.0, 2.0, 3.0, 3.0])
    steps = trace_discard_steps(quality, np.array([True, False, True, False, False]))
    assert steps.discard_fraction.tolist() == [0, 0.4, 0.6]
    assert steps.fnmr.tolist() == [0.4, 1 / 3, 0]
    assert step_for_discard_fraction(steps, 0.39) == 0
    assert step_for_discard_fraction(steps, 0.4) == 1
    assert step_for_fnmr(steps, 0.4) == 0
    assert step_for_fnmr(steps, 0.1) == 2
    assert step_for_fnmr(trace_discard_steps(quality, np.ones(5, bool)), 0.9) is None
