"""Files for papers: every plot as PNG, SVG and PDF, every table as CSV and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from fiqa_fast.errors import ResultsError
from fiqa_fast.evaluation.result import EvaluationResult
from fiqa_fast.report.choices import Options, varying
from fiqa_fast.report.csv_file import table_as_csv
from fiqa_fast.report.det_plot import det_plots
from fiqa_fast.report.edc_plot import edc_plots
from fiqa_fast.report.latex import table_as_latex
from fiqa_fast.report.methods import MethodNames
from fiqa_fast.report.paper_plots import require_matplotlib, save_det, save_edc
from fiqa_fast.report.tables.all_tables import all_tables
from fiqa_fast.report.tables.model import Table

_MAX_NAME = 100


def write_paper_files(result: EvaluationResult, folder: Path) -> list[Path]:
    """Writes the plots and tables of an evaluation; the same evaluation gives the same bytes.

    Args:
        result: what was found; of several runs, what `merge_results` made.
        folder: made if need be; files of the same names are replaced.

    Returns:
        The files.

    Raises:
        UnavailableError: matplotlib is not installed.
        ResultsError: the folder cannot be written.
    """
    require_matplotlib()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [*_write_plots(result, folder), *_write_tables(result, folder)]
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
    return written


def _write_tables(result: EvaluationResult, folder: Path) -> list[Path]:
    written: list[Path] = []
    name_file = _unique_names()
    for tables in all_tables(result):
        telling = varying(table.options for table in tables)
        for table in tables:
            shown = {name: value for name, value in table.options.items() if name in telling}
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
