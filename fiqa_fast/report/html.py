"""Assembles the report of a table of scores, and the sections that show such a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.report.agreement import agreement_matrix
from fiqa_fast.report.histogram import draw_histogram
from fiqa_fast.report.page import read_asset, render_page, write_page
from fiqa_fast.report.ranking import RankedFaces, rank_faces
from fiqa_fast.report.ranking_strip import Strip, make_strips, pick_strip
from fiqa_fast.report.scores import Failure, IntArray, OutputScores, ReportScores, read_scores
from fiqa_fast.report.summary import OutputSummary, list_facts, summarise_output
from fiqa_fast.report.text import file_name, format_number, make_printable
from fiqa_fast.report.thumbnails import Thumbnail, make_thumbnails, request_faces
from fiqa_fast.types import Float64Array

_MAX_FAILURES_LISTED = 1000


@dataclass(frozen=True)
class Tile:
    """One face on a contact sheet.

    Attributes:
        thumbnail: number of its picture on the page.
        level: 0 to 4, fifths of the quality scale (or of the range of raw scores where there is no
            quality), for the colour of the bar.
        width: of the bar, percent.
    """

    rank: int
    thumbnail: int
    name: str
    path: str
    face_index: int
    raw: str
    quality: str
    level: int
    width: float


@dataclass(frozen=True)
class Sheet:
    """The tab of one output: histograms and contact sheet."""

    name: str
    polarity: str
    by_quality: bool
    quality_note: str
    histograms: tuple[Markup, ...]
    best: tuple[Tile, ...]
    worst: tuple[Tile, ...]
    left_out: int


@dataclass(frozen=True)
class ScoreSections:
    """What the page shows of a table of scores.

    Attributes:
        scores: the table, read.
        scorer_count: distinct scorers.
        summaries: a row for each output.
        thumbnails: each picture once; tiles name them by position.
        sheets: one for each output.
        strips: one for each output; none where there is a single face.
        agreement: Spearman's rho between every two outputs.
        failures: the first of `scores.failures`, printable.
        failure_reasons: each distinct reason, and how many failed for it.
    """

    scores: ReportScores
    scorer_count: int
    summaries: list[OutputSummary]
    thumbnails: list[Thumbnail]
    sheets: list[Sheet]
    strips: list[Strip]
    agreement: list[list[float | None]]
    failures: list[Failure]
    failure_reasons: list[tuple[str, int]]


def write_report(
    table: pa.Table,
    destination: Path,
    *,
    title: str,
    settings: Mapping[str, str],
    max_faces: int = 240,
) -> None:
    """Writes a self-contained HTML page about a table of scores.

    The page shows the run's settings, a summary, and for every output the distribution of its
    scores and a contact sheet of the faces from best to worst. For that the photographs are read
    again; one that has vanished since leaves an empty tile.

    Args:
        table: what `fiqa-fast score` wrote: one row per face, scorer and output; failures are rows
            too. Each scorer's default output comes first on the page, otherwise the table's order.
        destination: the file to write, such as `report.html`; replaced as a whole, or not at all.
        title: heading of the page.
        settings: more facts for the head of the page, such as {"date": "2026-01-31"}. Network,
            weights, variant, precision, device, engine, seed and version are taken from the table
            unless they are given here.
        max_faces: of more faces than this, a contact sheet shows the best and the worst half.

    Raises:
        InvalidArgumentError: the table lacks a column, or `max_faces` is below 1.
        ResultsError: the destination cannot be written.
    """
    page = render_page(
        title=title,
        facts=list_facts(table, settings),
        styles=[read_asset("report.css")],
        scripts=[read_asset("report.js")],
        score_sections=make_score_sections(table, max_faces),
        evaluation=None,
    )
    write_page(page, destination)


def make_score_sections(table: pa.Table, max_faces: int) -> ScoreSections:
    """Reads the table and draws what the page shows of it; see `write_report`.

    Raises:
        InvalidArgumentError: the table lacks a column, or `max_faces` is below 1.
    """
    if max_faces < 1:
        raise InvalidArgumentError(
            f"report: expected max_faces of 1 or more, got {max_faces}; 240 is the default"
        )
    scores = read_scores(table)
    ranked = [rank_faces(output, max_faces) for output in scores.outputs]
    on_strips = [pick_strip(output) for output in scores.outputs]
    shown = _faces_shown(scores.outputs, ranked, on_strips)
    thumbnail_of_face = {face: number for number, face in enumerate(shown)}
    sheets = [
        _make_sheet(scores, output, ranking, thumbnail_of_face)
        for output, ranking in zip(scores.outputs, ranked, strict=True)
    ]
    return ScoreSections(
        scores=scores,
        scorer_count=len({output.scorer for output in scores.outputs}),
        summaries=[summarise_output(output) for output in scores.outputs],
        thumbnails=_make_thumbnails(table, scores, shown),
        sheets=sheets,
        strips=make_strips(scores, on_strips, thumbnail_of_face),
        agreement=agreement_matrix(scores.outputs, len(scores.faces)),
        failures=[_printable_failure(f) for f in scores.failures[:_MAX_FAILURES_LISTED]],
        failure_reasons=Counter(make_printable(f.reason) for f in scores.failures).most_common(),
    )


def _faces_shown(
    outputs: Sequence[OutputScores], ranked: Sequence[RankedFaces], on_strips: Sequence[IntArray]
) -> list[int]:
    """Faces that stand on some contact sheet or ranking strip, each once."""
    faces = (
        output.face[np.concatenate([ranking.best, ranking.worst, strip])].tolist()
        for output, ranking, strip in zip(outputs, ranked, on_strips, strict=True)
    )
    return sorted(set(chain.from_iterable(faces)))


def _make_thumbnails(table: pa.Table, scores: ReportScores, shown: list[int]) -> list[Thumbnail]:
    faces = [scores.faces[face] for face in shown]
    return make_thumbnails(request_faces(table, faces))


def _make_sheet(
    scores: ReportScores,
    output: OutputScores,
    ranking: RankedFaces,
    thumbnail_of_face: Mapping[int, int],
) -> Sheet:
    fractions = _bar_fractions(output, by_quality=ranking.by_quality)

    def tiles(positions: IntArray, first_rank: int) -> tuple[Tile, ...]:
        return tuple(
            _make_tile(scores, output, int(position), rank, fractions[position], thumbnail_of_face)
            for rank, position in enumerate(positions, start=first_rank)
        )

    histograms = [draw_histogram(output.raw, label="raw score")]
    calibrated = output.quality[np.isfinite(output.quality)]
    if len(calibrated):
        histograms.append(draw_histogram(calibrated, label="quality", bounds=(0, 100), bins=20))
    summary = summarise_output(output)
    return Sheet(
        name=summary.name,
        polarity=summary.polarity,
        by_quality=ranking.by_quality,
        quality_note=_quality_note(output, summary.quality_reason),
        histograms=tuple(histograms),
        best=tiles(ranking.best, 1),
        worst=tiles(ranking.worst, ranking.first_worst_rank),
        left_out=ranking.left_out,
    )


def _quality_note(output: OutputScores, reason: str) -> str:
    """Why faces are not ranked by quality, or ""."""
    if output.has_quality:
        return ""
    missing = int(np.isnan(output.quality).sum())
    total = len(output.quality)
    which = "No face has" if missing == total else f"{missing:,} of {total:,} faces are without"
    return f"{which} a quality{': ' if reason else ''}{reason}."


def _bar_fractions(output: OutputScores, *, by_quality: bool) -> Float64Array:
    """Length of every face's bar, 0..1: float64 [N]."""
    if by_quality:
        return np.clip(output.quality / 100, 0, 1)
    oriented = output.oriented
    span = np.ptp(oriented)
    return (oriented - oriented.min()) / span if span > 0 else np.full(len(oriented), 0.5)


def _make_tile(
    scores: ReportScores,
    output: OutputScores,
    position: int,
    rank: int,
    fraction: float,
    thumbnail_of_face: Mapping[int, int],
) -> Tile:
    face_number = int(output.face[position])
    face = scores.faces[face_number]
    quality = output.quality[position]
    return Tile(
        rank=rank,
        thumbnail=thumbnail_of_face[face_number],
        name=file_name(face.path),
        path=make_printable(face.path),
        face_index=face.face_index,
        raw=format_number(float(output.raw[position])),
        quality=f"{quality:.1f}" if np.isfinite(quality) else "",
        level=min(4, int(fraction * 5)),
        width=round(float(fraction) * 100, 1),
    )


def _printable_failure(failure: Failure) -> Failure:
    return Failure(
        path=make_printable(failure.path),
        face_index=failure.face_index,
        reason=make_printable(failure.reason),
        note=make_printable(failure.note),
    )
