"""The facts at the head of the report, and the table of one row per output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fiqa_fast.report.scores import OutputScores, decode_strings
from fiqa_fast.report.text import make_printable, shorten_digest

TRACE_LABELS = {
    "backbone": "Network",
    "weights_sha256": "Weights",
    "variant": "Variant",
    "precision": "Precision",
    "device": "Device",
    "engine": "Engine",
    "seed": "Seed",
    "version": "Version",
}
"""Columns of the table that say how the scores came about, and their names on the page."""


@dataclass(frozen=True)
class Fact:
    """One setting: `value` is shown, `full` is what it stands for ("" where `value` is all)."""

    label: str
    value: str
    full: str


@dataclass(frozen=True)
class OutputSummary:
    """One row of the summary table."""

    name: str
    count: int
    least: float
    median: float
    greatest: float
    polarity: str
    median_quality: float | None
    quality_reason: str


def list_facts(table: pa.Table, settings: Mapping[str, str]) -> list[Fact]:
    """What the table says about the run, then the settings.

    A setting with the name of one of `TRACE_LABELS` (its column or its label, in any case) takes
    the place of what the table says.
    """
    by_label: dict[str, str] = {}
    for column, label in TRACE_LABELS.items():
        if column in table.column_names:
            distinct = decode_strings(table[column].unique().drop_null().cast(pa.string()))
            by_label[label] = ", ".join(map(shorten_digest, sorted(filter(None, distinct))))
            if len(distinct) == 1:
                by_label[label] = distinct[0]
    known = TRACE_LABELS | {label.lower(): label for label in TRACE_LABELS.values()}
    for name, value in settings.items():
        by_label[known.get(name.lower(), name[:1].upper() + name[1:])] = value
    return [_fact(label, value) for label, value in by_label.items() if value]


def list_settings(settings: Mapping[str, str]) -> list[Fact]:
    """The settings alone, where there is no table."""
    return [_fact(name[:1].upper() + name[1:], value) for name, value in settings.items() if value]


def summarise_output(scores: OutputScores) -> OutputSummary:
    """Summarises the scores of one output."""
    calibrated = scores.quality[np.isfinite(scores.quality)]
    return OutputSummary(
        name=make_printable(scores.name),
        count=len(scores.raw),
        least=float(scores.raw.min()),
        median=float(np.median(scores.raw)),
        greatest=float(scores.raw.max()),
        polarity="higher is better" if scores.higher_is_better else "lower is better",
        median_quality=float(np.median(calibrated)) if len(calibrated) else None,
        quality_reason=make_printable("; ".join(scores.quality_reasons)),
    )


def _fact(label: str, value: str) -> Fact:
    value = make_printable(value)
    short = shorten_digest(value)
    return Fact(make_printable(label), short, value if short != value else "")
