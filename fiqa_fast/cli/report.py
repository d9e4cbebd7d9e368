"""`fiqa-fast report`: makes the page, and files for papers, of what runs have found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from fiqa_fast.errors import InvalidArgumentError, ResultsError
from fiqa_fast.evaluation.published import read_published
from fiqa_fast.evaluation.result import FILE_NAME, EvaluationResult, read_result
from fiqa_fast.report.evaluation_page import merge_named, write_evaluation_report
from fiqa_fast.report.html import write_report
from fiqa_fast.report.merge import merge_tables
from fiqa_fast.report.paper_files import write_paper_files
from fiqa_fast.report.paper_plots import require_matplotlib

TABLE = "scores.parquet"


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders of `fiqa-fast score`, `fiqa-fast evaluate` or `benchmark quality`.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="The page; by default report.html in the folder of a single run."
        ),
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(
            help="Folder for plots (PNG, SVG, PDF), tables (CSV, LaTeX) and ranking strips (PNG) of"
            " the evaluations."
        ),
    ] = None,
    published: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.csv",
            help="Values of papers to stand beside the measured ones of the same names; may be"
            " repeated. Columns: paper, table, data_set, method, verification_network, measure"
            " (auc, auc_normalised, tar), fmr, limit, value, source.",
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    max_faces: Annotated[
        int, typer.Option(help="On a contact sheet; of more, the best and the worst are shown.")
    ] = 240,
) -> None:
    """Write one page about one or several runs; for faces the photographs must still be there."""
    destination = _destination(runs, out)
    if files is not None:
        require_matplotlib()
    printed = [value for path in published or [] for value in read_published(path)]
    results, tables = _read_runs(runs)
    if published and not results:
        raise InvalidArgumentError(
            f"report: expected a run with {FILE_NAME} for --published, got none;"
            " run `fiqa-fast evaluate` first, or leave --published out"
        )
    if files is not None and not results:
        raise InvalidArgumentError(
            f"report: expected a run with {FILE_NAME} for --files, got none;"
            " run `fiqa-fast evaluate` first, or leave --files out"
        )
    of_runs = {run: pa.concat_tables(found.values()) for run, found in tables.items()}
    table = merge_tables(of_runs) if len(of_runs) > 1 else next(iter(of_runs.values()), None)
    if results:
        heading = title or _title(list(results.values()))
        write_evaluation_report(
            list(results.values()),
            table,
            destination,
            title=heading,
            run_names=list(results),
            max_faces=max_faces,
            published=printed,
        )
    else:
        heading = title or "Face image quality"
        write_report(table, destination, title=heading, settings={}, max_faces=max_faces)
    typer.echo(f"wrote {destination}")
    if files is not None:
        merged = merge_named(list(results.values()), list(results), heading)
        scores = {name: one for found in tables.values() for name, one in found.items()}
        written = write_paper_files(merged, files, scores, printed)
        typer.echo(f"wrote {len(written)} files to {files}")


def _destination(runs: list[Path], out: Path | None) -> Path:
    if out is not None:
        return out
    if len(runs) > 1:
        raise InvalidArgumentError(
            f"report: expected -o with {len(runs)} runs, got none; say where the page belongs,"
            " such as -o report.html"
        )
    return runs[0] / "report.html"


def _read_runs(
    runs: list[Path],
) -> tuple[dict[str, EvaluationResult], dict[str, dict[str, pa.Table]]]:
    """Evaluations by the name of their run; of each run the tables of scores, by names for them."""
    results: dict[str, EvaluationResult] = {}
    tables: dict[str, dict[str, pa.Table]] = {}
    for name, folder in zip(_run_names(runs), runs, strict=True):
        result_path, table_path = folder / FILE_NAME, folder / TABLE
        if not result_path.exists() and not table_path.exists():
            raise ResultsError(
                f"report: expected {FILE_NAME} or {TABLE} in {folder}, got neither;"
                " run `fiqa-fast evaluate`, or run `fiqa-fast score` first (with --resume if it was"
                " interrupted)"
            )
        if result_path.exists():
            results[name] = read_result(result_path)
        if table_path.exists():
            tables[name] = {name: _read_table(table_path)}
        # An evaluation of several data sets has a folder with a table for each.
        elif of_data_sets := sorted(folder.glob(f"*/{TABLE}")):
            tables[name] = {
                f"{name}/{path.parent.name}": _read_table(path) for path in of_data_sets
            }
    return results, tables


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ResultsError(
            f"report: expected a readable {path}, got {type(error).__name__};"
            " run `fiqa-fast score` first (with --resume if it was interrupted)"
        ) from error


def _run_names(runs: list[Path]) -> list[str]:
    """For each run as many of the last parts of its path as tell it from the others.

    Raises:
        InvalidArgumentError: a folder was given twice.
    """
    parts = [Path(os.path.abspath(run)).parts for run in runs]  # noqa: PTH100 (keeps links' names)
    if len(set(parts)) != len(parts):
        raise InvalidArgumentError(
            f"report: expected each run once, got {', '.join(map(str, runs))};"
            " leave the second one out"
        )

    def name(own: tuple[str, ...]) -> str:
        for count in range(1, len(own)):
            if sum(other[-count:] == own[-count:] for other in parts) == 1:
                return "/".join(own[-count:])
        return str(Path(*own))

    return [name(own) for own in parts]


def _title(results: list[EvaluationResult]) -> str:
    """The one title of the runs; where they differ, a general one."""
    titles = {result.title for result in results}
    return titles.pop() if len(titles) == 1 else "Face image quality"
