"""What a data set's scores look like, without any comparison: distributions and agreement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fiqa_fast.evaluation.agreement import measure_agreement
from fiqa_fast.evaluation.distributions import describe_distribution
from fiqa_fast.evaluation.inputs import MethodScores
from fiqa_fast.evaluation.result import AgreementRecord, EvaluationResult


def describe_scores(data_set: str, methods: Sequence[MethodScores]) -> EvaluationResult:
    """Histograms of all methods, and how far each two order the samples alike.

    Args:
        data_set: its name.
        methods: scores of its samples; those without any score have no histogram.
    """
    scored = [method for method in methods if np.isfinite(method.raw_scores).any()]
    distributions = tuple(
        describe_distribution(
            data_set, method.method, method.raw_scores, higher_is_better=method.higher_is_better
        )
        for method in scored
    )
    agreements: tuple[AgreementRecord, ...] = ()
    if len(scored) > 1:
        oriented = [m.raw_scores if m.higher_is_better else -m.raw_scores for m in scored]
        names = [method.method for method in scored]
        agreements = (measure_agreement(data_set, names, np.stack(oriented)),)
    return EvaluationResult(title="", distributions=distributions, agreements=agreements)
