"""Small pictures of the faces, made anew from the photographs."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pyarrow as pa

from fiqa_fast.errors import FiqaError, InvalidArgumentError
from fiqa_fast.images.align import align_faces, resize_crop
from fiqa_fast.images.decode import decode_image
from fiqa_fast.report.scores import Face
from fiqa_fast.report.text import make_printable
from fiqa_fast.types import DetectedFace, FaceImage, UInt8Array

_WEBP_QUALITY = 75


@dataclass(frozen=True)
class ThumbnailRequest:
    """A face to show.

    Attributes:
        path: its photograph.
        box: left, top, width, height in the photograph's pixels; empty if it was not detected.
        landmarks: x, y of the five points, 10 numbers; empty for a crop that was given as it is.
    """

    path: str
    box: tuple[float, ...]
    landmarks: tuple[float, ...]


@dataclass(frozen=True)
class Thumbnail:
    """A picture, or the reason why there is none.

    Attributes:
        data_uri: a WebP image; "" where the photograph cannot be read any more.
        missing_reason: the sentence for a person, or "".
    """

    data_uri: str
    missing_reason: str = ""


def request_faces(table: pa.Table, faces: Sequence[Face]) -> list[ThumbnailRequest]:
    """What has to be known of faces to show them.

    Args:
        table: of scores, from which `read_scores` read the faces.
        faces: some of them.
    """
    rows = table.select(["box", "landmarks"]).take(pa.array([f.row for f in faces], pa.int64()))
    return [
        ThumbnailRequest(face.path, tuple(box or ()), tuple(landmarks or ()))
        for face, box, landmarks in zip(
            faces, rows["box"].to_pylist(), rows["landmarks"].to_pylist(), strict=True
        )
    ]


def make_thumbnails(requests: Sequence[ThumbnailRequest]) -> list[Thumbnail]:
    """Makes one thumbnail per request; every photograph is decoded once.

    A photograph that has vanished, or is no image any more, gives a thumbnail without a picture.
    """
    thumbnails = [Thumbnail("")] * len(requests)
    for position, crop in crop_faces(requests):
        thumbnails[position] = (
            Thumbnail("", crop) if isinstance(crop, str) else Thumbnail(_encode_webp(crop))
        )
    return thumbnails


def crop_faces(requests: Sequence[ThumbnailRequest]) -> Iterator[tuple[int, UInt8Array | str]]:
    """The faces as the scorer saw them; every photograph is decoded once.

    Yields:
        Position of a request, photograph by photograph, and uint8 [112, 112, 3] RGB or the sentence
        that says why there is no picture.
    """
    by_path: defaultdict[str, list[int]] = defaultdict(list)
    for position, request in enumerate(requests):
        by_path[request.path].append(position)
    for path, positions in by_path.items():
        try:
            image = decode_image(path)
        except FiqaError as error:
            yield from ((position, make_printable(str(error))) for position in positions)
            continue
        for position in positions:
            try:
                yield position, _crop(image, requests[position])
            except FiqaError as error:
                yield position, make_printable(str(error))


def _crop(image: FaceImage, request: ThumbnailRequest) -> UInt8Array:
    """The face as the scorer saw it: uint8 [112, 112, 3] RGB."""
    if not request.landmarks:
        return resize_crop(image).crop
    if len(request.landmarks) != 10:
        raise InvalidArgumentError(
            f"report: expected landmarks of 10 numbers, got {len(request.landmarks)}"
            f" for {request.path}; the table is not one that `fiqa-fast score` wrote"
        )
    face = DetectedFace(
        box=np.array(request.box or (0, 0, 0, 0), dtype=np.float32),
        landmarks=np.array(request.landmarks, dtype=np.float32).reshape(5, 2),
        confidence=1.0,
    )
    return align_faces(image, [face])[0].crop


def _encode_webp(pixels: UInt8Array) -> str:
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, _WEBP_QUALITY])
    return f"data:image/webp;base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"
