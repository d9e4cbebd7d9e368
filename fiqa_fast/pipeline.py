"""The way of the data, streamed: photographs -> crops -> batches -> scores -> rows.

Threads decode, detect and align ahead while the networks work; at most a few batches are in flight,
so memory does not grow with the number of images. Rows come in the order of the images.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np

from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.calibration import Calibration
from fiqa_fast.errors import FiqaError, ImageError, InvalidArgumentError
from fiqa_fast.images.align import align_faces, resize_crop
from fiqa_fast.images.decode import DEFAULT_MAX_MEGAPIXELS, decode_bytes, decode_image
from fiqa_fast.images.detect import FacePolicy, YuNetDetector, select_faces
from fiqa_fast.images.pixels import check_pixels
from fiqa_fast.provenance import provenance_of
from fiqa_fast.results import ScoreRow
from fiqa_fast.rows import ScoreColumn
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.scorers.evaluation import evaluate_together
from fiqa_fast.scorers.multi import MultiScorer
from fiqa_fast.scorers.registry import create_scorer, default_network
from fiqa_fast.types import (
    AlignedFace,
    FaceImage,
    FailedImage,
    FailureReason,
    UInt8Array,
)
from fiqa_fast.work_ahead import work_ahead

DEFAULT_BATCH_SIZE = 16
Source = str | Path | bytes | UInt8Array
"""A path; the content of an image file; or pixels: uint8 RGB [H, W, 3]."""
OnFace = Callable[[AlignedFace, Sequence[ScoreRow]], object]


@dataclass(frozen=True)
class FaceFinder:
    """Turns a source into crops; every thread of the pipeline calls it.

    Attributes:
        detector: finds faces; None takes every image as a crop that is aligned already.
        faces: which faces of a photograph are taken: "largest", "central" or "all".
        max_megapixels: larger images are refused before they are decoded.
    """

    detector: YuNetDetector | None = field(default_factory=YuNetDetector)
    faces: FacePolicy = "largest"
    max_megapixels: float = DEFAULT_MAX_MEGAPIXELS

    def find(self, source: Source, number: int = 0) -> list[AlignedFace] | FailedImage:
        """Crops the wanted faces out of one image, or says why there are none.

        Args:
            source: see `Source`.
            number: position among the sources, which names an image that has no path.
        """
        path = source_name(source, number)
        try:
            if isinstance(source, np.ndarray):
                check_pixels("score", source)
                image = FaceImage(path, source)
            elif isinstance(source, bytes):
                image = decode_bytes(source, path=path, max_megapixels=self.max_megapixels)
            else:
                image = decode_image(path, max_megapixels=self.max_megapixels)
            if self.detector is None:
                return [resize_crop(image)]
            found = self.detector.detect(image.pixels)
            if not found:
                note = f" ({image.note})" if image.note else ""
                message = f"no face was found in {_size(image)}{note}"
                return FailedImage(path, FailureReason.NO_FACE, message)
            chosen = select_faces(found, self.faces, image.pixels.shape)
            positions = [next(i for i, f in enumerate(found) if f is face) for face in chosen]
            return align_faces(image, chosen, positions)
        except ImageError as error:
            return FailedImage(path, error.reason, str(error))
        except FiqaError:
            raise  # the caller's mistake, the same for every image
        except Exception as error:
            # One image never ends a batch job, not even through a fault of ours or of a library.
            message = f"{type(error).__name__}: {error}"
            return FailedImage(path, FailureReason.INTERNAL_ERROR, message)


def source_name(source: Source, number: int) -> str:
    """What stands in the column `path` for the image at a position among the sources."""
    if isinstance(source, np.ndarray):
        return f"<array {number}>"
    return f"<bytes {number}>" if isinstance(source, bytes) else os.fspath(source)


def score_stream(
    sources: Iterable[Source],
    scorers: Sequence[Scorer],
    *,
    finder: FaceFinder,
    batch_size: int = DEFAULT_BATCH_SIZE,
    all_outputs: bool = False,
    calibrations: Sequence[Calibration] = (),
    threads: int | None = None,
    on_face: OnFace | None = None,
) -> Iterator[list[ScoreRow]]:
    """Scores images one after the other, working ahead in the background.

    Args:
        sources: see `Source`; may be a generator of any length.
        scorers: the methods, each with its network.
        finder: how faces are found.
        batch_size: faces that are collected before the scorers are called.
        all_outputs: every output of each scorer instead of its chosen one.
        calibrations: from `read_calibrations`; they come before the packaged ones.
        threads: that decode, detect and align; None: one for each core.
        on_face: is called with each face and its rows, before the rows of its image are yielded.

    Yields:
        For each source, in order, its rows: one per face and scorer (and output); one per scorer
        (and output) when there is no face.

    Raises:
        InvalidArgumentError: a batch size below 1, or several calibrations for one output.
    """
    check_batch_size(batch_size)
    columns = [
        (scorer, ScoreColumn(provenance_of(scorer), output, calibrations))
        for scorer in scorers
        for output in (scorer.spec.outputs if all_outputs else (scorer.output,))
    ]
    found = work_ahead(
        lambda numbered: finder.find(numbered[1], numbered[0]),
        enumerate(sources),
        waiting=2 * batch_size,
        threads=threads,
    )
    images: list[list[AlignedFace] | FailedImage] = []
    crop_count = 0
    with closing(found):  # ends the threads where the caller wants no more
        for image in found:
            images.append(image)
            crop_count += len(image) if isinstance(image, list) else 0
            if crop_count >= batch_size:
                yield from _score_images(images, columns, on_face)
                images, crop_count = [], 0
        yield from _score_images(images, columns, on_face)


def score_images(
    sources: Iterable[Source],
    scorers: str | Scorer | MultiScorer | Sequence[str | Scorer] = "ser-fiq",
    *,
    aligned: bool = False,
    faces: FacePolicy = "largest",
    batch_size: int = DEFAULT_BATCH_SIZE,
    all_outputs: bool = False,
    calibrations: Sequence[Calibration] = (),
) -> list[ScoreRow]:
    """Scores photographs: finds and aligns the faces, and gives every result as a row.

    For many images use `score_stream`, which holds only a few of them at a time.

    Args:
        sources: paths, contents of image files, or pixels: uint8 RGB [H, W, 3].
        scorers: names of methods, or scorers from `create_scorer` (needed for methods that bring
            weights of their own). Those on one network share its forward pass.
        aligned: take the images as crops that are aligned already.
        faces: which faces of a photograph: "largest", "central" or "all".
        batch_size: faces that are scored together.
        all_outputs: every output of each scorer instead of its chosen one.
        calibrations: from `read_calibrations`; they come before the packaged ones.

    Returns:
        One row per face and scorer, in the order of the sources. An image that cannot be scored is
        a row too, with status "failed" and the reason.

    Raises:
        InvalidArgumentError: an unknown scorer or policy, a batch size below 1, or several
            calibrations for one output.
        WeightsError: the name of a method whose weights no package carries.

    Example:
        >>> rows = score_images(["portrait.jpg"], "ser-fiq")  # doctest: +SKIP
        >>> rows[0].score.quality
        87.2
    """
    if isinstance(sources, str | Path | bytes | np.ndarray):
        raise InvalidArgumentError(
            f"score: expected a list of paths or of pixels, got one {type(sources).__name__};"
            " put it into a list, and folders through fiqa_fast.images.sources.find_images"
        )
    if isinstance(scorers, MultiScorer):
        scorers = scorers.scorers
    chosen = [scorers] if isinstance(scorers, str | Scorer) else list(scorers)
    check_policy(faces)
    names = dict.fromkeys(default_network(s) for s in chosen if isinstance(s, str))
    networks = {name: load_backbone(name) for name in names}
    made = [
        create_scorer(s, backbone=networks[default_network(s)]) if isinstance(s, str) else s
        for s in chosen
    ]
    finder = FaceFinder(None) if aligned else FaceFinder(faces=faces)
    rows = score_stream(
        sources,
        made,
        finder=finder,
        batch_size=batch_size,
        all_outputs=all_outputs,
        calibrations=calibrations,
    )
    return [row for image in rows for row in image]


def check_batch_size(batch_size: int) -> None:
    """Raises InvalidArgumentError unless the batch has room for one face or more."""
    if batch_size < 1:
        raise InvalidArgumentError(
            f"score: expected batch_size of 1 or more, got {batch_size}; 16 is the default"
        )


def check_policy(faces: str) -> None:
    """Raises InvalidArgumentError unless `faces` names a policy."""
    if faces not in get_args(FacePolicy):
        raise InvalidArgumentError(
            f"score: expected faces to be one of {', '.join(get_args(FacePolicy))}, got {faces!r};"
            " choose one of them"
        )


@dataclass(frozen=True)
class _RawScores:
    """What one scorer made of a batch: for each output the raw score of each crop, or an error."""

    raw: Mapping[str, Sequence[float]]
    errors: Sequence[str]  # "" where there are scores
    elapsed_ms: float  # for each crop

    def row(self, face: AlignedFace, column: ScoreColumn, position: int) -> ScoreRow:
        raw = self.raw[column.output][position]
        return column.face_row(face, raw, self.elapsed_ms, self.errors[position])


def _score_images(
    images: Sequence[list[AlignedFace] | FailedImage],
    columns: Sequence[tuple[Scorer, ScoreColumn]],
    on_face: OnFace | None,
) -> Iterator[list[ScoreRow]]:
    crops = [face.crop for image in images if isinstance(image, list) for face in image]
    outputs: dict[Scorer, list[str]] = {}
    for scorer, column in columns:
        outputs.setdefault(scorer, []).append(column.output)
    scores = _score_crops(outputs, crops)
    position = 0
    for image in images:
        if isinstance(image, FailedImage):
            yield [column.failed_row(image) for _, column in columns]
            continue
        rows = []
        for face in image:
            face_rows = [scores[scorer].row(face, column, position) for scorer, column in columns]
            if on_face is not None:
                on_face(face, face_rows)
            rows += face_rows
            position += 1
        yield rows


def _score_crops(
    outputs: Mapping[Scorer, Sequence[str]], crops: Sequence[UInt8Array]
) -> dict[Scorer, _RawScores]:
    """Scores crops with every scorer; those on one network share its forward pass."""
    if not crops:
        return {s: _RawScores({o: [] for o in names}, [], 0.0) for s, names in outputs.items()}
    networks = dict.fromkeys(scorer.backbone for scorer in outputs)
    scores: dict[Scorer, _RawScores] = {}
    for network in networks:
        group = [scorer for scorer in outputs if scorer.backbone is network]
        try:
            evaluations = evaluate_together(group, np.stack(crops), outputs)
        except Exception:  # one of them is told by which crop and method it was, below
            scores |= {s: _score_one_by_one(s, outputs[s], crops) for s in group}
            continue
        for scorer, evaluation in evaluations.items():
            raw = {output: values.tolist() for output, values in evaluation.scores.items()}
            elapsed_ms = evaluation.elapsed_s * 1e3 / len(crops)
            scores[scorer] = _RawScores(raw, [""] * len(crops), elapsed_ms)
    return scores


def _score_one_by_one(
    scorer: Scorer, outputs: Sequence[str], crops: Sequence[UInt8Array]
) -> _RawScores:
    """One scorer and one crop at a time, so that what can be scored is scored."""
    raw = {output: [math.nan] * len(crops) for output in outputs}
    errors = [""] * len(crops)
    start = time.perf_counter()
    for i, crop in enumerate(crops):
        try:
            evaluation = evaluate_together([scorer], crop[None], {scorer: outputs})[scorer]
        except Exception as error:  # out of memory, or a fault: it costs this crop's row, no more
            errors[i] = f"{type(error).__name__}: {error}"
            continue
        for output, values in evaluation.scores.items():
            raw[output][i] = values.item()
    return _RawScores(raw, errors, (time.perf_counter() - start) * 1e3 / len(crops))


def _size(image: FaceImage) -> str:
    height, width = image.pixels.shape[:2]
    return f"{width}x{height} pixels"
