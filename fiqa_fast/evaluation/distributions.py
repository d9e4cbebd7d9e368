"""Histograms of raw scores, on each data set."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.result import DistributionRecord
from fiqa_fast.types import Float64Array

_MOST_BINS = 60
_FEWEST_BINS = 6


def describe_distribution(
    data_set: str,
    method: str,
    raw_scores: npt.ArrayLike,
    *,
    higher_is_better: bool,
    edges: Float64Array | None = None,
) -> DistributionRecord:
    """The histogram of a method's raw scores on a data set.

    Args:
        data_set: its name.
        method: quality method and output.
        raw_scores: [S]; NaN where there is none.
        higher_is_better: their polarity.
        edges: float64, ascending bounds of the bins, the last bin closed; by default those of
            `shared_edges` for these scores alone.

    Raises:
        InvalidArgumentError: no score at all, an infinite one, one beyond `edges`, a wrong shape,
            edges that do not ascend.
    """
    scores = np.asarray(raw_scores, np.float64)
    if edges is None:
        edges = shared_edges([scores])
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise InvalidArgumentError(
            f"evaluate: expected edges to be two or more ascending numbers, got {edges.tolist()};"
            " make them with shared_edges"
        )
    present = _present(scores)
    counts, _ = np.histogram(present, bins=edges)
    if counts.sum() != len(present):
        raise InvalidArgumentError(
            f"evaluate: expected all scores within the edges {edges[0]:g} to {edges[-1]:g}, got"
            f" {present.min()} to {present.max()}; make the edges from all data sets"
        )
    return DistributionRecord(
        data_set=data_set,
        method=method,
        higher_is_better=higher_is_better,
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        missing=len(scores) - len(present),
    )


def shared_edges(raw_scores: Sequence[npt.ArrayLike]) -> Float64Array:
    """Bins for the scores of one method on several data sets, so that histograms can be compared.

    Bins of equal width over the whole range; their number follows Rice's rule, 2 n^(1/3), for the
    largest data set, from 6 to 60.

    Args:
        raw_scores: for each data set [S]; NaN where there is none.

    Raises:
        InvalidArgumentError: no data set, no score in one, an infinite score, or a wrong shape.
    """
    if not raw_scores:
        raise InvalidArgumentError(
            "evaluate: expected the scores of one or more data sets, got none; give an array for"
            " each"
        )
    present = [_present(np.asarray(scores, np.float64)) for scores in raw_scores]
    low = float(min(scores.min() for scores in present))
    high = float(max(scores.max() for scores in present))
    most = max(map(len, present))
    bins = min(_MOST_BINS, max(_FEWEST_BINS, math.ceil(2 * most ** (1 / 3))))
    if low == high:
        margin = max(1.0, abs(low)) / 2
        low, high = low - margin, high + margin
    edges = np.linspace(low, high, bins + 1)
    # So near to each other that there are not enough numbers between them.
    return edges if (np.diff(edges) > 0).all() else np.array([low, high])


def _present(scores: Float64Array) -> Float64Array:
    if scores.ndim != 1:
        raise InvalidArgumentError(
            f"evaluate: expected raw scores of shape [S], got {list(scores.shape)}; give one number"
            " for each sample"
        )
    if np.isinf(scores).any():
        raise InvalidArgumentError(
            "evaluate: expected finite raw scores, or NaN where there is none, got an infinite one;"
            " score these samples again"
        )
    present: Float64Array = scores[~np.isnan(scores)]
    if not len(present):
        raise InvalidArgumentError(
            f"evaluate: expected at least one raw score, got none among {len(scores)} samples;"
            " score them"
        )
    return present
