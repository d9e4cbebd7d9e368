"""How far quality methods order the samples of a data set alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.result import AgreementRecord
from fiqa_fast.ranks import correlate_pair_order, correlate_ranks
from fiqa_fast.types import Float64Array

Correlation = Callable[[Float64Array, Float64Array], float | None]


def measure_agreement(
    data_set: str, methods: Sequence[str], qualities: npt.ArrayLike
) -> AgreementRecord:
    """Spearman's rho and Kendall's tau-b of every two methods, over the samples that both scored.

    Args:
        data_set: its name.
        methods: K names.
        qualities: [K, S]: of each method and sample, higher is better; NaN or -inf where there is
            none.

    Returns:
        Matrices with 1 on their diagonal; None where one of the two methods orders nothing.

    Raises:
        InvalidArgumentError: no method, a name twice, a wrong shape, or a quality of +inf.
    """
    scores = np.asarray(qualities, np.float64)
    if not methods or len(set(methods)) != len(methods):
        raise InvalidArgumentError(
            f"evaluate: expected one or more methods with different names, got {list(methods)};"
            " name each once"
        )
    if scores.ndim != 2 or len(scores) != len(methods):
        raise InvalidArgumentError(
            f"evaluate: expected qualities of shape [{len(methods)}, S], got {list(scores.shape)};"
            " give a row for each method"
        )
    if np.isposinf(scores).any():
        raise InvalidArgumentError(
            "evaluate: expected qualities that are finite, or NaN or -inf where there is none, got"
            " +inf; score these samples again"
        )
    return AgreementRecord(
        data_set=data_set,
        methods=tuple(methods),
        spearman=_matrix(scores, correlate_ranks),
        kendall=_matrix(scores, correlate_pair_order),
    )


def _matrix(scores: Float64Array, correlate: Correlation) -> tuple[tuple[float | None, ...], ...]:
    matrix: list[list[float | None]] = [[None] * len(scores) for _ in scores]
    for i, a in enumerate(scores):
        for j, b in enumerate(scores[: i + 1]):
            common = np.isfinite(a) & np.isfinite(b)
            matrix[i][j] = matrix[j][i] = correlate(a[common], b[common])
    return tuple(map(tuple, matrix))
