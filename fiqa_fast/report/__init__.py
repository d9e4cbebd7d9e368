"""The report: one self-contained HTML page about a table of scores."""

from fiqa_fast.report.html import write_report

__all__ = ["write_report"]
