"""Ranking strips: for each output a row of faces from the worst to the best, evenly spaced by rank.

As in Ž. Babnik et al., "FaceQAN: Face Image Quality Assessment Through Adversarial Noise
Exploration" (ICPR 2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fiqa_fast.evaluation.ranking import pick_ranked
from fiqa_fast.report.ranking import rank_faces
from fiqa_fast.report.scores import IntArray, OutputScores, ReportScores, read_scores
from fiqa_fast.report.text import file_name, format_number, make_printable
from fiqa_fast.report.thumbnails import crop_faces, request_faces
from fiqa_fast.types import UInt8Array

STRIP_FACES = 10
"""As many as the paper shows."""


@dataclass(frozen=True)
class StripFace:
    """One face of a strip.

    Attributes:
        thumbnail: number of its picture on the page.
        percent: its rank, from 0 for the worst face to 100 for the best.
        name: of its photograph.
        description: rank, face and score in words.
    """

    thumbnail: int
    percent: int
    name: str
    description: str


@dataclass(frozen=True)
class Strip:
    """The strip of one output, the worst face first."""

    name: str
    faces: tuple[StripFace, ...]


@dataclass(frozen=True)
class StripPictures:
    """The strip of one output with its pictures, the worst face first.

    Attributes:
        percents: ranks of the faces, from 0 for the worst to 100 for the best.
        pictures: uint8 [112, 112, 3] RGB; None where the photograph cannot be read any more.
    """

    name: str
    percents: tuple[int, ...]
    pictures: tuple[UInt8Array | None, ...]


def pick_strip(output: OutputScores, count: int = STRIP_FACES) -> IntArray:
    """Faces at evenly spaced ranks, ranked as on the contact sheet.

    Args:
        output: with N faces.
        count: how many, 2 or more.

    Returns:
        int64 [count]: positions in the output's arrays, the worst face first; all N where there are
        not so many.

    Raises:
        InvalidArgumentError: count < 2.
    """
    worst_first = rank_faces(output, len(output.raw)).best[::-1]
    ranks = np.arange(len(worst_first), dtype=np.float64)
    return worst_first[pick_ranked(ranks, count)]


def rank_percents(face_count: int, count: int) -> list[int]:
    """Where the faces that `pick_strip` takes stand: 0 for the worst, 100 for the best.

    Args:
        face_count: of the output, 2 or more.
        count: as of `pick_strip`.
    """
    ranks = pick_ranked(np.arange(face_count, dtype=np.float64), count)
    return [round(100 * rank / (face_count - 1)) for rank in ranks.tolist()]


def make_strips(
    scores: ReportScores, picked: Sequence[IntArray], thumbnail_of_face: Mapping[int, int]
) -> list[Strip]:
    """The strips of all outputs with two or more faces.

    Args:
        scores: of the table.
        picked: of each output, from `pick_strip`.
        thumbnail_of_face: number of the picture of each face that is picked.
    """
    return [
        _make_strip(scores, output, positions, thumbnail_of_face)
        for output, positions in zip(scores.outputs, picked, strict=True)
        if len(positions) > 1
    ]


def picture_strips(table: pa.Table) -> list[StripPictures]:
    """Makes the strips of a table of scores, with the faces from the photographs.

    Args:
        table: what `fiqa-fast score` wrote.

    Returns:
        One for each output with two or more faces.

    Raises:
        InvalidArgumentError: the table lacks a column.
    """
    scores = read_scores(table)
    outputs = [output for output in scores.outputs if len(output.raw) > 1]
    picked = [output.face[pick_strip(output)].tolist() for output in outputs]
    shown = sorted({face for faces in picked for face in faces})
    crops = crop_faces(request_faces(table, [scores.faces[face] for face in shown]))
    pictures = {shown[i]: None if isinstance(crop, str) else crop for i, crop in crops}
    return [
        StripPictures(
            name=make_printable(output.name),
            percents=tuple(rank_percents(len(output.raw), len(faces))),
            pictures=tuple(pictures[face] for face in faces),
        )
        for output, faces in zip(outputs, picked, strict=True)
    ]


def _make_strip(
    scores: ReportScores,
    output: OutputScores,
    positions: IntArray,
    thumbnail_of_face: Mapping[int, int],
) -> Strip:
    percents = rank_percents(len(output.raw), len(positions))
    faces = []
    for position, percent in zip(positions.tolist(), percents, strict=True):
        face_number = int(output.face[position])
        face = scores.faces[face_number]
        name = file_name(face.path)
        quality = output.quality[position]
        faces.append(
            StripFace(
                thumbnail=thumbnail_of_face[face_number],
                percent=percent,
                name=name,
                description=f"Rank {percent}% of {make_printable(output.name)}: face"
                f" {face.face_index} of {name}, raw score {format_number(output.raw[position])}"
                + (f", quality {quality:.1f}" if np.isfinite(quality) else ""),
            )
        )
    return Strip(make_printable(output.name), tuple(faces))
