"""Files for papers: every plot as PNG, SVG and PDF, every table as CSV and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from fiqa_fast.errors import ResultsError
from fiqa_fast.evaluation.published import PublishedValue
from fiqa_fast.evaluation.result import EvaluationResult
from fiqa_fast.report.choices import Options, varying
from fiqa_fast.report.csv_file import table_as_csv
from fiqa_fast.report.det_plot import det_plots
from fiqa_fast.report.edc_plot import edc_plots
from fiqa_fast.report.label_change_plot import label_change_plots
from fiqa_fast.report.latex import table_as_latex
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.paper_plots import (
    require_matplotlib,
    save_det,
    save_edc,
    save_label_change,
    save_strips,
)
from fiqa_fast.report.ranking_strip import picture_strips
from fiqa_fast.report.tables.all_tables import all_tables
from fiqa_fast.report.tables.model import Table
from fiqa_fast.report.tables.paper_layouts import IN_COLUMNS
from fiqa_fast.report.text import make_printable

_MAX_NAME = 100


def write_paper_files(
    result: EvaluationResult,
    folder: Path,
    scores: Mapping[str, pa.Table] | None = None,
    published: Sequence[PublishedValue] = (),
) -> list[Path]:
    """Writes the plots and tables of an evaluation; the same evaluation gives the same bytes.

    Args:
        result: what was found; of several runs, what `merge_results` made.
        folder: made if need be; files of the same names are replaced.
        scores: tables of `fiqa-fast score` by the name of their run or data set; each becomes a
            picture of ranking strips, for which its photographs are read again.
        published: values of papers that stand beside the measured ones, as the packaged ones do.

    Returns:
        The files.

    Raises:
        UnavailableError: matplotlib is not installed.
        InvalidArgumentError: a table of scores lacks a column.
        ResultsError: the folder cannot be written.
    """
    require_matplotlib()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [
            *_write_plots(result, folder),
            *_write_strips(scores or {}, folder),
            *_write_tables(result, folder, published),
        ]
    except OSError as error:
        raise ResultsError(
            f"report: expected to be able to write files to {str(folder)!r}, got"
            f" {type(error).__name__}: {error.strerror}; choose another folder"
        ) from error


def _write_plots(result: EvaluationResult, folder: Path) -> list[Path]:
    written: list[Path] = []
    name_file = _unique_names()
    edc = edc_plots(result.curves, MethodNames(result))
    telling = varying(plot.options for plot in edc) | {"Data set", "Operating point"}
    for plot in edc:
        shown = {name: value for name, value in plot.options.items() if name in telling}
        written += save_edc(plot, folder / name_file("edc", shown), shown)
    for det in det_plots(result.error_rates):
        written += save_det(det, folder / name_file("det", {"Data set": det.data_set}))
    for change in label_change_plots(result.label_changes):
        written += save_label_change(change, folder / name_file("labels", change.options))
    return written


def _write_strips(scores: Mapping[str, pa.Table], folder: Path) -> list[Path]:
    written: list[Path] = []
    name_file = _unique_names()
    for name, table in scores.items():
        strips = picture_strips(table)
        if strips:
            stem = folder / name_file("ranking", {"Run": name})
            title = make_printable(name) if len(scores) > 1 else ""
            written.append(save_strips(strips, title, stem))
    return written


def _write_tables(
    result: EvaluationResult, folder: Path, published: Sequence[PublishedValue]
) -> list[Path]:
    written: list[Path] = []
    name_file = _unique_names()
    for tables in all_tables(result, published):
        telling = varying(table.options for table in tables)
        for table in tables:
            shown = {
                name: value
                for name, value in table.options.items()
                if name in telling and value != IN_COLUMNS
            }
            written += _write_table(table, folder / name_file(table.name, shown))
    return written


def _write_table(table: Table, stem: Path) -> Sequence[Path]:
    paths = (stem.with_name(f"{stem.name}.csv"), stem.with_name(f"{stem.name}.tex"))
    for path, text in zip(paths, (table_as_csv(table), table_as_latex(table)), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def _unique_names() -> Callable[[str, Options], str]:
    """Makes names of files from options: letters, digits, dots and hyphens, each name once."""
    given: set[str] = set()

    def name_file(kind: str, options: Options) -> str:
        words = [kind, *options.values()]
        plain = "-".join(re.sub(r"[^a-z0-9.]+", "-", word.lower()).strip("-.") for word in words)
        wanted = re.sub("-+", "-", plain)[:_MAX_NAME].strip("-.")
        name, number = wanted, 1
        while name in given:
            number += 1
            name = f"{wanted}-{number}"
        given.add(name)
        return name

    return name_file
