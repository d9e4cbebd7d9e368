"""Every table of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from fiqa_fast.evaluation.published import PublishedValue
from fiqa_fast.evaluation.result import EvaluationResult
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.tables.agreements import agreement_tables
from fiqa_fast.report.tables.areas import area_tables
from fiqa_fast.report.tables.comparisons import comparison_tables
from fiqa_fast.report.tables.error_rates import error_rate_tables
from fiqa_fast.report.tables.ladder import ladder_tables
from fiqa_fast.report.tables.model import Table
from fiqa_fast.report.tables.paired_tests import paired_test_tables
from fiqa_fast.report.tables.papers import paper_tables
from fiqa_fast.report.tables.runtimes import runtime_tables
from fiqa_fast.report.tables.templates import template_tables


def all_tables(
    result: EvaluationResult, published: Sequence[PublishedValue] = ()
) -> list[list[Table]]:
    """The tables in the page's order; those of one kind, with the same options, together.

    Args:
        result: what was found.
        published: values that stand beside the measured ones, as the packaged ones do.
    """
    names = MethodNames(result)
    return [
        area_tables(result.curves, names),
        paired_test_tables(result.paired_tests),
        paper_tables(result, names, published),
        error_rate_tables(result.error_rates),
        template_tables(result.templates),
        runtime_tables(result.runtimes),
        ladder_tables(result.ladder, names),
        agreement_tables(result.agreements),
        comparison_tables(result.curves),
    ]
