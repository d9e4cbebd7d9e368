"""Writes a ladder of degraded face crops: six degradations, five levels each, per photograph.

    python examples/degradation_ladder.py examples/faces out/ladder
    python examples/degradation_ladder.py --help

For every photograph of a folder the largest face is aligned to a 112x112 crop (an image that
measures 112x112 already is taken as such a crop), and these files are written:

    OUT/clean/<photo>.png                                 level 0, once per photograph
    OUT/<degradation>/<photo>__<degradation>_<level>.png  levels 1 to 5
    OUT/ladder.csv                                        file,photo,degradation,level,parameter

`file` is relative to OUT, with forward slashes. Level 0 stands in ladder.csv once per photograph,
with the degradation "clean" and no parameter, and is the lowest rung of every degradation.

The same photographs give the same bytes on every run. Noise is drawn from numpy's PCG64, seeded by
the photograph's name and the level, so it does not depend on the machine, on the other photographs
or on their order. (Decoding and resampling are OpenCV's: another version may round otherwise.)

Score the ladder as crops that are aligned already (detecting faces anew would refuse the worst of
them), then read `examples/ladder_spearman.py`.
"""

from __future__ import annotations

import argparse
import csv
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fiqa_fast.errors import ImageError, InvalidArgumentError
from fiqa_fast.images.align import align_faces
from fiqa_fast.images.decode import decode_image
from fiqa_fast.images.detect import YuNetDetector
from fiqa_fast.images.sources import IMAGE_SUFFIXES
from fiqa_fast.types import CROP_SIZE_PX, FailureReason, UInt8Array

LEVELS: dict[str, tuple[float, ...]] = {
    # degradation: its parameter at levels 1, 2, 3, 4, 5
    "blur": (0.5, 1.0, 2.0, 3.0, 5.0),  # sigma of the Gaussian, pixels
    "noise": (5.0, 10.0, 20.0, 40.0, 60.0),  # sigma of the Gaussian, grey levels of 0..255
    "downscale": (64.0, 40.0, 24.0, 16.0, 10.0),  # side of the reduced image, pixels
    "darkness": (0.7, 0.5, 0.3, 0.15, 0.07),  # factor on every pixel
    "occlusion": (0.1, 0.2, 0.35, 0.5, 0.65),  # fraction of the rows blacked out, from below
    "jpeg": (50.0, 30.0, 15.0, 5.0, 2.0),  # quality setting, 100 is best
}
"""The ladder. Severity grows with the level."""

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


def degrade(crop: UInt8Array, degradation: str, level: int, *, photo: str) -> UInt8Array:
    """Degrades a crop as `LEVELS` says.

    Args:
        crop: uint8 [112, 112, 3], RGB.
        degradation: a key of `LEVELS`.
        level: 1 to 5.
        photo: name that seeds the noise, together with the level; the others draw nothing.

    Returns:
        uint8 [112, 112, 3], RGB; a new array.

    Raises:
        InvalidArgumentError: an unknown degradation or level.
    """
    if degradation not in LEVELS:
        raise InvalidArgumentError(
            f"degrade: expected degradation to be one of {', '.join(LEVELS)}, got {degradation!r};"
            " pick one of them"
        )
    if not 1 <= level <= len(LEVELS[degradation]):
        raise InvalidArgumentError(
            f"degrade: expected level from 1 to {len(LEVELS[degradation])}, got {level};"
            " level 0 is the crop itself"
        )
    parameter = LEVELS[degradation][level - 1]
    match degradation:
        case "blur":
            return blur(crop, parameter)
        case "noise":
            return add_noise(crop, parameter, noise_seed(photo, level))
        case "downscale":
            return downscale(crop, int(parameter))
        case "darkness":
            return darken(crop, parameter)
        case "occlusion":
            return occlude(crop, parameter)
        case _:
            return compress_jpeg(crop, int(parameter))


def blur(crop: UInt8Array, sigma_px: float) -> UInt8Array:
    """Blurs with a Gaussian; OpenCV picks the kernel size from sigma."""
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma_px), dtype=np.uint8)


def noise_seed(photo: str, level: int) -> int:
    """Gives every photograph and level a seed of its own, the same on every machine."""
    return zlib.crc32(f"{photo}/noise/{level}".encode("utf-8", "surrogateescape"))


def add_noise(crop: UInt8Array, sigma: float, seed: int) -> UInt8Array:
    """Adds Gaussian noise of `sigma` grey levels, rounds to nearest and clips to 0..255."""
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal(crop.shape)
    return np.clip(np.rint(crop + sigma * normal), 0, 255).astype(np.uint8)


def downscale(crop: UInt8Array, side_px: int) -> UInt8Array:
    """Reduces to `side_px` squared by area and enlarges back linearly."""
    height, width = crop.shape[:2]
    reduced = cv2.resize(crop, (side_px, side_px), interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, dtype=np.uint8)


def darken(crop: UInt8Array, factor: float) -> UInt8Array:
    """Multiplies every pixel and rounds to nearest."""
    darkened: UInt8Array = np.rint(crop * factor).astype(np.uint8)
    return darkened


def occlude(crop: UInt8Array, fraction: float) -> UInt8Array:
    """Blacks out that fraction of the rows, from below."""
    occluded = crop.copy()
    rows = round(fraction * len(crop))
    occluded[len(crop) - rows :] = 0
    return occluded


def compress_jpeg(crop: UInt8Array, quality: int) -> UInt8Array:
    """Encodes as JPEG and decodes again."""
    bgr = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


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


def write_ladder(photos: Iterable[Path], destination: Path) -> tuple[list[Rung], list[str]]:
    """Writes the ladder of every photograph, and ladder.csv.

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
        for rung, pixels in climb(crop, path.stem):
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


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns 1 if a photograph had to be left out."""
    parser = argparse.ArgumentParser(
        description="Write a ladder of degraded face crops (six degradations, five levels).",
        epilog="Levels 1 to 5: "
        + "; ".join(f"{name} {', '.join(f'{p:g}' for p in ps)}" for name, ps in LEVELS.items()),
    )
    parser.add_argument("photos", type=Path, help="folder of photographs, or of 112x112 crops")
    parser.add_argument("destination", type=Path, help="folder to write to (made if needed)")
    options = parser.parse_args(arguments)
    try:
        photos = find_photos(options.photos)
    except InvalidArgumentError as error:
        parser.error(str(error))
    rungs, left_out = write_ladder(photos, options.destination)
    for sentence in left_out:
        print(f"left out: {sentence}", file=sys.stderr)
    print(f"{len(rungs)} crops of {len(photos) - len(left_out)} photographs: {options.destination}")
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
