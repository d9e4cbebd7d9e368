from __future__ import annotations

import numpy as np
import pytest

from fiqa_fast.report.agreement import agreement_matrix
from fiqa_fast.report.scores import OutputScores


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
