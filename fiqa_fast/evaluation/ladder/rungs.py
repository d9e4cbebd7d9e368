"""Photographs -> every rung of the ladder as a crop, in a folder.

The same photographs give the same bytes on every run. Noise is drawn from numpy's PCG64, seeded by
the photograph's name and the level, so it does not depend on the machine, on the other photographs
or on their order. (Decoding and resampling are OpenCV's: another version may round otherwise.)
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from fiqa_fast.errors import ImageError, InvalidArgumentError
from fiqa_fast.evaluation.ladder.degradations import LEVELS, degrade
from fiqa_fast.images.align import align_faces
from fiqa_fast.images.decode import decode_image
from fiqa_fast.images.detect import YuNetDetector
from fiqa_fast.images.sources import IMAGE_SUFFIXES
from fiqa_fast.types import CROP_SIZE_PX, FailureReason, UInt8Array

CLEAN = "clean"
"""The name that level 0 has in the `degradation` column."""

LADDER_COLUMNS = ("file", "photo", "degradation", "level", "parameter")


@dataclass(frozen=True)
class Rung:
    """One file of the ladder: a row of ladder.csv.

    Attributes:
        file: path relative to the ladder's folder, with forward slashes.
        photo: stem of the photograph's file name.
        degradation: a key of `LEVELS`, or `CLEAN`.
        level: 0 (clean) to 5 (worst).
        parameter: the value in `LEVELS`; None for the clean crop.
    """

    file: str
    photo: str
    degradation: str
    level: int
    parameter: float | None


def find_photos(folder: Path) -> list[Path]:
    """Lists the photographs that lie directly in `folder`, by name.

    Raises:
        InvalidArgumentError: the folder is missing or without photographs, or two of them would
            give the same file names.
    """
    if not folder.is_dir():
        raise InvalidArgumentError(
            f"degradation ladder: expected a folder of photographs, got {str(folder)!r};"
            " name one that exists"
        )
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not photos:
        raise InvalidArgumentError(
            f"degradation ladder: expected photographs ({', '.join(sorted(IMAGE_SUFFIXES))}) in"
            f" {str(folder)!r}, got none; subfolders are not searched"
        )
    by_stem: dict[str, Path] = {}
    for photo in photos:
        twin = by_stem.setdefault(photo.stem, photo)
        if twin != photo:
            raise InvalidArgumentError(
                f"degradation ladder: expected one photograph per name, got {twin.name!r} and"
                f" {photo.name!r}; rename one"
            )
    return photos


def crop_largest_face(photo: Path, detector: YuNetDetector) -> UInt8Array:
    """Aligns the largest face of a photograph.

    Returns:
        uint8 [112, 112, 3], RGB; the image itself if it has that size already.

    Raises:
        ImageError: the file cannot be read, or shows no face.
    """
    image = decode_image(str(photo))
    if image.pixels.shape == (CROP_SIZE_PX, CROP_SIZE_PX, 3):
        return image.pixels
    faces = detector.detect(image.pixels)
    if not faces:
        raise ImageError(FailureReason.NO_FACE, f"{photo}: no face was found")
    return align_faces(image, faces[:1])[0].crop


def climb(crop: UInt8Array, photo: str) -> Iterator[tuple[Rung, UInt8Array]]:
    """Yields every rung of one photograph with its image, the clean one first."""
    yield Rung(f"{CLEAN}/{photo}.png", photo, CLEAN, 0, None), crop
    for degradation, parameters in LEVELS.items():
        for level, parameter in enumerate(parameters, start=1):
            file = f"{degradation}/{photo}__{degradation}_{level}.png"
            rung = Rung(file, photo, degradation, level, parameter)
            yield rung, degrade(crop, degradation, level, photo=photo)


def write_ladder(
    photos: Iterable[Path], destination: Path, names: Mapping[Path, str] | None = None
) -> tuple[list[Rung], list[str]]:
    """Writes the ladder of every photograph, and ladder.csv.

    Args:
        photos: image files.
        destination: folder to write to; made if needed.
        names: what each photograph is called in the ladder; None: as its file, without the ending.

    Returns:
        The rungs written, and one sentence for each photograph that had to be left out.
    """
    detector = YuNetDetector()
    rungs: list[Rung] = []
    left_out: list[str] = []
    for name in (CLEAN, *LEVELS):
        (destination / name).mkdir(parents=True, exist_ok=True)
    for path in photos:
        try:
            crop = crop_largest_face(path, detector)
        except ImageError as error:
            left_out.append(str(error))
            continue
        for rung, pixels in climb(crop, path.stem if names is None else names[path]):
            write_png(destination / rung.file, pixels)
            rungs.append(rung)
    write_ladder_csv(rungs, destination / "ladder.csv")
    return rungs, left_out


def write_png(path: Path, pixels: UInt8Array) -> None:
    """Writes uint8 [H, W, 3] RGB as PNG."""
    # Not cv2.imwrite: it fails by returning False, and knows only UTF-8 paths.
    _, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    path.write_bytes(encoded.tobytes())


def write_ladder_csv(rungs: Iterable[Rung], path: Path) -> None:
    """Writes one row per rung; the clean crop's parameter is empty."""
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LADDER_COLUMNS)
        for rung in rungs:
            parameter = "" if rung.parameter is None else f"{rung.parameter:g}"
            writer.writerow((rung.file, rung.photo, rung.degradation, rung.level, parameter))
