"""Reports: one self-contained HTML page about a table of scores, or about evaluations."""

from fiqa_fast.report.evaluation_page import write_evaluation_report
from fiqa_fast.report.html import write_report

__all__ = ["write_evaluation_report", "write_report"]
