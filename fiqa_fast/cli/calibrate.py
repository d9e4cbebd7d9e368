"""`fiqa-fast calibrate`: makes a calibration of quality from a table of scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import typer
from rich.console import Console
from rich.table import Table

from fiqa_fast.calibration import (
    Calibration,
    Comparisons,
    DiscardTarget,
    ReferenceScores,
    fit_calibration,
    read_comparisons,
    read_score_table,
    recommend_discard,
    split_sources,
    to_json,
)
from fiqa_fast.errors import InvalidArgumentError, ResultsError
from fiqa_fast.quality.fit import check_kind
from fiqa_fast.whole_file import write_whole

_DEFAULT_DISCARD_FRACTION = 0.05


def calibrate(
    scores: Annotated[
        Path, typer.Argument(help="The scores.parquet of `fiqa-fast score` over a reference set.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="JSON file to write.")],
    kind: Annotated[
        str,
        typer.Option(
            help="percentile (the share of the reference faces that a face beats) or sigmoid (tells"
            " faces apart outside the reference set too)."
        ),
    ] = "percentile",
    reference_set: Annotated[
        str, typer.Option(help="What the reference faces are, in words; default: the table's path.")
    ] = "",
    comparisons: Annotated[
        Path | None,
        typer.Option(
            help="CSV with the header sample_a,sample_b,mated,comparison_score: adds a recommended"
            " discard threshold. Samples are paths as in the table; higher scores are more alike."
        ),
    ] = None,
    discard_fraction: Annotated[
        float | None,
        typer.Option(help="Threshold: discard at most this part of mated comparisons; 0.05."),
    ] = None,
    target_fnmr: Annotated[
        float | None,
        typer.Option(help="Threshold: discard the fewest that bring the FNMR down to this."),
    ] = None,
    fmr: Annotated[
        float, typer.Option(help="False match rate that fixes the decision threshold.")
    ] = 1e-3,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the JSON file.")] = False,
) -> None:
    """Make a calibration: what turns raw scores into quality 0..100.

    One for each method, output, variant, set of parameters and network in the table. Use it with
    `fiqa-fast score --calibration FILE`.
    """
    check_kind(kind)
    target = _target(comparisons, discard_fraction, target_fnmr, fmr)
    if out.exists() and not overwrite:
        raise ResultsError(
            f"calibrate: expected a file that does not exist, got {out}; choose another name, or"
            " replace it with --overwrite"
        )
    table = read_score_table(scores)
    references = split_sources(table)
    made = [
        fit_calibration(r, reference_set=reference_set or str(scores), kind=kind)
        for r in references
    ]
    if comparisons is not None:
        pairs = read_comparisons(comparisons)
        _check_samples(pairs, table)
        made = [
            _with_threshold(calibration, reference, pairs, target)
            for calibration, reference in zip(made, references, strict=True)
        ]
    _write(to_json(made), out)
    _show(made, references)
    Console(stderr=True, markup=False).print(f"wrote {out}", soft_wrap=True)


def _target(
    comparisons: Path | None,
    discard_fraction: float | None,
    target_fnmr: float | None,
    fmr: float,
) -> DiscardTarget:
    if discard_fraction is not None and target_fnmr is not None:
        raise InvalidArgumentError(
            "calibrate: expected --discard-fraction or --target-fnmr, got both; choose one"
        )
    if comparisons is None and (discard_fraction is not None or target_fnmr is not None):
        raise InvalidArgumentError(
            "calibrate: expected --comparisons with --discard-fraction and --target-fnmr, got none;"
            " a threshold needs comparisons of the reference faces"
        )
    if target_fnmr is not None:
        return DiscardTarget("fnmr", target_fnmr, fmr)
    fraction = _DEFAULT_DISCARD_FRACTION if discard_fraction is None else discard_fraction
    return DiscardTarget("discard_fraction", fraction, fmr)


def _check_samples(comparisons: Comparisons, table: pa.Table) -> None:
    known = set(pc.unique(table["path"]).to_pylist())
    unknown = [sample for sample in comparisons.samples if sample not in known]
    if unknown:
        raise InvalidArgumentError(
            f"calibrate: expected samples that are paths of the table, got {len(unknown)} others,"
            f" such as {unknown[0]!r}; write them as in the column path"
        )


def _with_threshold(
    calibration: Calibration,
    reference: ReferenceScores,
    comparisons: Comparisons,
    target: DiscardTarget,
) -> Calibration:
    discard = recommend_discard(calibration, reference, comparisons, target)
    return replace(calibration, discard=discard)


def _write(text: str, path: Path) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        raise ResultsError(
            f"calibrate: expected to be able to write {path}, got {error.strerror};"
            " choose another file"
        ) from error


def _show(calibrations: list[Calibration], references: list[ReferenceScores]) -> None:
    console = Console(markup=False)
    table = _table(f"{len(calibrations)} calibrations", "faces", "raw 25%", "median", "75%")
    for calibration, reference in zip(calibrations, references, strict=True):
        source = calibration.source
        quartiles = np.percentile(reference.raw_scores, (25, 50, 75))
        values = (f"{value:.4g}" for value in quartiles)
        table.add_row(source.name, source.variant, str(calibration.face_count), *values)
    console.print(table)
    if any(c.discard is not None for c in calibrations):
        _show_thresholds(calibrations, console)


def _show_thresholds(calibrations: list[Calibration], console: Console) -> None:
    table = _table("Discard faces below", "quality", "pairs", "faces", "FNMR", "after")
    warnings: dict[str, list[str]] = {}
    for calibration in calibrations:
        source, discard = calibration.source, calibration.discard
        if discard is None:
            continue
        table.add_row(
            source.name,
            source.variant,
            "none" if discard.quality is None else f"{discard.quality:.1f}",
            _percent(discard.discard_fraction),
            _percent(discard.face_discard_fraction),
            f"{discard.fnmr_before:.4f}",
            "" if discard.fnmr_after is None else f"{discard.fnmr_after:.4f}",
        )
        for warning in discard.warnings:
            warnings.setdefault(warning, []).append(f"{source.name} ({source.variant})")
    console.print(table)
    for warning, names in warnings.items():
        console.print(f"{', '.join(names)}: {warning}", soft_wrap=True)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("method", no_wrap=True)
    table.add_column("variant", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.1%}"
