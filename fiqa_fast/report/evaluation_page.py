"""Assembles the report of evaluations: curves, tables and plots on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from markupsafe import Markup

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.published import PublishedValue
from fiqa_fast.evaluation.result import DistributionRecord, EvaluationResult
from fiqa_fast.report.choices import Figure, Options
from fiqa_fast.report.det_plot import det_plots, draw_det, network_numbers
from fiqa_fast.report.edc_plot import draw_edc, edc_plots
from fiqa_fast.report.histogram import draw_counts
from fiqa_fast.report.html import make_score_sections
from fiqa_fast.report.label_change_plot import draw_label_change, label_change_plots
from fiqa_fast.report.ladder_plot import draw_ladder
from fiqa_fast.report.line_styles import style_rules
from fiqa_fast.report.merge import merge_results
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.page import read_asset, render_page, write_page
from fiqa_fast.report.summary import list_facts, list_settings
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
from fiqa_fast.report.text import format_number, make_printable

_MAX_PAIRS = 300

LegendEntries = Sequence[tuple[int, str]]


@dataclass(frozen=True)
class Caveat:
    """A warning, and the data sets whose curves have it."""

    data_sets: str
    text: str


@dataclass(frozen=True)
class Histograms:
    """The score distributions of all methods on one data set."""

    options: Options
    drawings: tuple[tuple[str, Markup, str], ...]


@dataclass(frozen=True)
class EvaluationSections:
    """What the page shows of an evaluation; a section without content is left out.

    Attributes:
        notes: what a reader must know.
        caveats: warnings of the curves.
        methods, networks: numbers and names for the legends.
        contents: anchors and headings of the sections that are there.
    """

    notes: tuple[str, ...]
    caveats: tuple[Caveat, ...]
    edc: tuple[Figure, ...]
    methods: LegendEntries
    areas: tuple[Table, ...]
    paired_tests: tuple[Table, ...]
    papers: tuple[Table, ...]
    det: tuple[Figure, ...]
    networks: LegendEntries
    error_rates: tuple[Table, ...]
    templates: tuple[Table, ...]
    runtimes: tuple[Table, ...]
    ladder: tuple[Figure, ...]
    ladder_methods: LegendEntries
    ladder_tables: tuple[Table, ...]
    histograms: tuple[Histograms, ...]
    agreements: tuple[Table, ...]
    label_changes: tuple[Figure, ...]
    comparisons: tuple[Table, ...]

    @property
    def contents(self) -> list[tuple[str, str]]:
        """Anchors and headings of the sections that have content."""
        sections = [
            ("edc", "Error versus discard", self.edc),
            ("areas", "Areas under the curves", self.areas),
            ("paired-tests", "Paired tests", self.paired_tests),
            ("papers", "Tables as in the papers", self.papers),
            ("error-rates", "Recognition without discarding", self.error_rates or self.det),
            ("templates", "Templates", self.templates),
            ("runtimes", "Runtime", self.runtimes),
            ("ladder", "Degradation ladder", self.ladder),
            ("distributions", "Score distributions", self.histograms),
            ("agreements", "Agreement", self.agreements),
            ("label-changes", "Labels before and after", self.label_changes),
            ("comparisons", "Comparisons and thresholds", self.comparisons),
        ]
        return [(anchor, heading) for anchor, heading, content in sections if content]


def write_evaluation_report(
    results: Sequence[EvaluationResult],
    table: pa.Table | None,
    destination: Path,
    *,
    title: str,
    run_names: Sequence[str] = (),
    max_faces: int = 240,
    published: Sequence[PublishedValue] = (),
) -> None:
    """Writes a self-contained HTML page about evaluations, and about a table of scores.

    Args:
        results: one for each run; several are merged, and methods that several have get the run's
            name beside theirs.
        table: what `fiqa-fast score` wrote, for contact sheets of the faces; or None.
        destination: the file to write, such as `report.html`; replaced as a whole, or not at all.
        title: heading of the page.
        run_names: distinct names of the runs, as many as `results`; needed where there are several.
        max_faces: of more faces than this, a contact sheet shows the best and the worst half.
        published: values of papers that stand beside the measured ones, as the packaged ones do.

    Raises:
        InvalidArgumentError: names that do not fit the results, a table that lacks a column, or
            `max_faces` below 1.
        ResultsError: the destination cannot be written.
    """
    result = merge_named(results, run_names, title)
    score_sections = make_score_sections(table, max_faces) if table is not None else None
    facts = list_settings(result.settings)
    if table is not None:
        facts = list_facts(table, result.settings)
    page = render_page(
        title=title,
        facts=facts,
        styles=[read_asset("report.css"), read_asset("evaluation.css"), style_rules()],
        scripts=[read_asset("report.js"), read_asset("choices.js"), read_asset("curves.js")],
        score_sections=score_sections,
        evaluation=make_evaluation_sections(result, published),
    )
    write_page(page, destination)


def merge_named(
    results: Sequence[EvaluationResult], run_names: Sequence[str], title: str
) -> EvaluationResult:
    """One result of several, under the names of their runs.

    Raises:
        InvalidArgumentError: several results without a distinct name for each.
    """
    names = list(run_names) or [result.title for result in results]
    if len(names) != len(results) or len(set(names)) != len(names):
        raise InvalidArgumentError(
            f"report: expected run_names to be {len(results)} distinct names, got {names};"
            " give each run a name of its own"
        )
    return merge_results(dict(zip(names, results, strict=True)), title)


def make_evaluation_sections(
    result: EvaluationResult, published: Sequence[PublishedValue] = ()
) -> EvaluationSections:
    """Draws all curves and fills all tables."""
    names = MethodNames(result)
    edc = [draw_edc(plot, f"edc-{i}") for i, plot in enumerate(edc_plots(result.curves, names))]
    det = [
        draw_det(plot, f"det-{i}", result.error_rates)
        for i, plot in enumerate(det_plots(result.error_rates))
    ]
    networks = network_numbers(result.error_rates)
    return EvaluationSections(
        notes=tuple(make_printable(note) for note in result.notes),
        caveats=_caveats(result),
        edc=tuple(edc),
        methods=names.numbered(names.of_curve(curve) for curve in result.curves),
        areas=tuple(area_tables(result.curves, names)),
        paired_tests=tuple(paired_test_tables(result.paired_tests, _MAX_PAIRS)),
        papers=tuple(paper_tables(result, names, published)),
        det=tuple(det),
        networks=[(number, name) for name, number in networks.items()],
        error_rates=tuple(error_rate_tables(result.error_rates)),
        templates=tuple(template_tables(result.templates)),
        runtimes=tuple(runtime_tables(result.runtimes)),
        ladder=tuple(draw_ladder(result.ladder, names)),
        ladder_methods=names.numbered(make_printable(record.method) for record in result.ladder),
        ladder_tables=tuple(ladder_tables(result.ladder, names)),
        histograms=_histograms(result.distributions),
        agreements=tuple(agreement_tables(result.agreements)),
        label_changes=tuple(map(draw_label_change, label_change_plots(result.label_changes))),
        comparisons=tuple(comparison_tables(result.curves)),
    )


def _caveats(result: EvaluationResult) -> tuple[Caveat, ...]:
    """Each distinct warning once."""
    data_sets: dict[str, dict[str, None]] = {}
    for curve in result.curves:
        for warning in curve.warnings:
            data_sets.setdefault(warning, {})[curve.data_set] = None
    return tuple(
        Caveat(", ".join(map(make_printable, found)), make_printable(warning))
        for warning, found in data_sets.items()
    )


def _histograms(records: Sequence[DistributionRecord]) -> tuple[Histograms, ...]:
    groups = []
    for data_set in dict.fromkeys(record.data_set for record in records):
        drawings = tuple(
            _histogram(record)
            for record in records
            if record.data_set == data_set and record.counts
        )
        if drawings:
            groups.append(Histograms({"Data set": make_printable(data_set)}, drawings))
    return tuple(groups)


def _histogram(record: DistributionRecord) -> tuple[str, Markup, str]:
    """Heading, drawing and note of one method."""
    method = make_printable(record.method)
    polarity = "higher is better" if record.higher_is_better else "lower is better"
    drawing = draw_counts(
        record.counts,
        record.edges,
        label=f"raw score ({polarity})",
        description=(
            f"Histogram of the raw scores of {method}: {sum(record.counts)} faces, from"
            f" {format_number(record.edges[0])} to {format_number(record.edges[-1])}"
        ),
    )
    return method, drawing, f"{record.missing:,} without a score" if record.missing else ""
