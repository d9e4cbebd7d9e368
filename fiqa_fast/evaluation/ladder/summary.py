"""How a method's scores follow the ladder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fiqa_fast.evaluation.inputs import MethodScores
from fiqa_fast.evaluation.ladder.degradations import LEVELS
from fiqa_fast.evaluation.ladder.rungs import CLEAN, Rung
from fiqa_fast.evaluation.result import LadderRecord
from fiqa_fast.ranks import correlate_ranks
from fiqa_fast.types import Float64Array


def summarise_ladder(rungs: Sequence[Rung], methods: Sequence[MethodScores]) -> list[LadderRecord]:
    """Mean rank at each level of each degradation, and the mean rank correlation with the level.

    Args:
        rungs: of the ladder.
        methods: scores of the rungs, in their order; those without a score are left out.
    """
    return [
        _follow(rungs, degradation, method.method, _scaled_ranks(method))
        for method in methods
        for degradation in LEVELS
    ]


def _scaled_ranks(method: MethodScores) -> Float64Array:
    """Of the scores, higher is better, 0 to 1; NaN where there is none."""
    oriented = method.raw_scores if method.higher_is_better else -method.raw_scores
    scored = np.isfinite(oriented)
    ranks = np.full(len(oriented), np.nan)
    _, place = np.unique(oriented[scored], return_inverse=True)
    ranks[scored] = place / max(place.max(initial=0), 1)
    return ranks


def _follow(
    rungs: Sequence[Rung], degradation: str, method: str, rank: Float64Array
) -> LadderRecord:
    chains: dict[str, dict[int, float]] = {}
    for rung, value in zip(rungs, rank.tolist(), strict=True):
        if rung.degradation in (CLEAN, degradation) and np.isfinite(value):
            chains.setdefault(rung.photo, {})[rung.level] = value
    levels = range(len(LEVELS[degradation]) + 1)
    # A photograph with a gap would weigh its other levels differently.
    complete = [chain for chain in chains.values() if len(chain) == len(levels)]
    if not complete:
        return LadderRecord(method, degradation, (), (), None)
    followed = [
        correlate_ranks(np.asarray(levels, dtype=np.float64), np.asarray([c[n] for n in levels]))
        for c in complete
    ]
    return LadderRecord(
        method=method,
        degradation=degradation,
        levels=tuple(levels),
        mean_rank=tuple(float(np.mean([chain[n] for chain in complete])) for n in levels),
        spearman=float(np.mean([rho or 0.0 for rho in followed])),
    )
