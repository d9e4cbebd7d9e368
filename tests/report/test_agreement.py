from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from fiqa_fast.report.agreement import agreement_matrix, correlate_ranks
from fiqa_fast.report.scores import OutputScores

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=40)


@given(PAIRS)
def test_same_as_scipy_with_ties(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, dtype=np.float64).T
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert correlate_ranks(a, b) is None
    else:
        assert correlate_ranks(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_scores_are_oriented_and_compared_on_common_faces() -> None:
    def output(face: list[int], raw: list[float], *, higher_is_better: bool) -> OutputScores:
        quality = np.full(len(raw), np.nan)
        return OutputScores("s", "o", higher_is_better, np.array(face), np.array(raw), quality, ())

    up = output([0, 1, 2, 3], [1, 2, 3, 0], higher_is_better=True)
    down = output([2, 1, 0], [1, 2, 3], higher_is_better=False)
    flat = output([0, 1, 2, 3], [5, 5, 5, 5], higher_is_better=True)

    matrix = agreement_matrix([up, down, flat], 4)

    assert matrix[0][1] == pytest.approx(1.0)
    assert matrix[1][0] == matrix[0][1]
    assert matrix[0][2] is None
    assert matrix[0][0] is None
