"""A folder with a sub-folder for each identity (VGGFace2 and many others)."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.evaluation.protocols.checks import check_protocol, name_some
from fiqa_fast.evaluation.protocols.draw import MATED_PER_IDENTITY, NON_MATED, draw_comparisons
from fiqa_fast.evaluation.protocols.image_files import ImageFiles
from fiqa_fast.images.sources import IMAGE_SUFFIXES

IDENTITIES = "identities.csv"
"""In the folder: file,identity for the images that lie in no sub-folder."""


def read_folder(
    root: str | Path,
    *,
    name: str | None = None,
    aligned: bool = False,
    mated_per_identity: int = MATED_PER_IDENTITY,
    non_mated: int = NON_MATED,
    seed: int = 0,
) -> Protocol:
    """Takes each sub-folder as an identity, with the images in it at any depth.

    Images that lie in the folder itself get their identity from a file `identities.csv` there, with
    the columns file,identity. Samples are named by their path below the folder.

    Args:
        root: the folder.
        name: of the data set; None: the folder's name.
        aligned: whether the images are aligned crops.
        mated_per_identity: see `draw_comparisons`.
        non_mated: see `draw_comparisons`.
        seed: of the draws.

    Raises:
        InvalidArgumentError: no folder, no comparison, an image without identity, or a wrong
            identities.csv.
    """
    root = Path(root)
    named = read_identities(root / IDENTITIES)
    files = list(images_below(root))
    loose = [file for file in files if "/" not in file]
    unknown = [file for file in loose if file not in named]
    if unknown:
        raise InvalidArgumentError(
            f"protocol: expected a sub-folder of {root} for each identity, got images beside them"
            f" that {IDENTITIES} does not name: {name_some(unknown, len(unknown))}; move them, or"
            f" write {IDENTITIES} with the columns file,identity"
        )
    absent = sorted(named.keys() - set(loose))
    if absent:
        raise InvalidArgumentError(
            f"protocol: expected the files of {root / IDENTITIES} to lie beside it, got none for"
            f" {name_some(absent, len(absent))}; correct the names"
        )
    return protocol_of_identities(
        root,
        ((file, named.get(file) or file.split("/")[0]) for file in files),
        name=name or root.name,
        aligned=aligned,
        mated_per_identity=mated_per_identity,
        non_mated=non_mated,
        seed=seed,
    )


def protocol_of_identities(
    root: Path,
    files: Iterable[tuple[str, str]],
    *,
    name: str,
    aligned: bool,
    mated_per_identity: int,
    non_mated: int,
    seed: int,
) -> Protocol:
    """Draws comparisons of image files whose identities are known.

    Args:
        root: their folder.
        files: name below the folder, and identity.
        name: of the data set.
        aligned: whether the images are aligned crops.
        mated_per_identity: see `draw_comparisons`.
        non_mated: see `draw_comparisons`.
        seed: of the draws.

    Raises:
        InvalidArgumentError: there is nothing to compare.
    """
    numbers: dict[str, int] = {}
    samples, identities = [], []
    for file, identity in files:
        samples.append(file)
        identities.append(numbers.setdefault(identity, len(numbers)))
    if len(samples) < 2:
        raise InvalidArgumentError(
            f"{name}: expected a folder with a sub-folder of images for each identity, got"
            f" {len(samples)} images below {root}; image files end with"
            f" {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    identity_array = np.array(identities, np.int32)
    sample_a, sample_b, mated = draw_comparisons(
        identity_array, mated_per_identity=mated_per_identity, non_mated=non_mated, seed=seed
    )
    names = tuple(samples)
    return check_protocol(
        Protocol(
            name=name,
            samples=names,
            sources=ImageFiles(root, names),
            aligned=aligned,
            identity=identity_array,
            sample_a=sample_a,
            sample_b=sample_b,
            mated=mated,
        )
    )


def images_below(root: Path) -> Iterator[str]:
    """The images below a folder, at any depth, in a fixed order; their names use "/".

    Raises:
        InvalidArgumentError: it is no folder, or one below it may not be listed.
    """
    yield from _images_below(os.fspath(root), "")


def _images_below(root: str, inside: str) -> Iterator[str]:
    try:
        with os.scandir(f"{root}/{inside}") as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise InvalidArgumentError(
            f"protocol: expected a folder that may be listed, got {root}/{inside}"
            f" ({error.strerror}); check the path and the rights"
        ) from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=not inside):  # linked identities, but no endless circles
            yield from _images_below(root, f"{inside}{entry.name}/")
        elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122 - millions
            yield f"{inside}{entry.name}"


def read_identities(path: Path) -> Mapping[str, str]:
    """Identities by file name; nothing where there is no such table.

    Args:
        path: a CSV file with the columns file,identity.

    Raises:
        InvalidArgumentError: it cannot be read, has other columns, an incomplete line, or a file
            twice.
    """
    if not path.exists():
        return {}
    named: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"file", "identity"} <= set(reader.fieldnames or ()):
                raise InvalidArgumentError(
                    f"protocol: expected a header with the columns file,identity in {path}, got"
                    f" {','.join(reader.fieldnames or ()) or 'none'}; write it so"
                )
            for row in reader:
                if not row["file"] or not row["identity"] or row["file"] in named:
                    raise InvalidArgumentError(
                        f"protocol: expected each file once with its identity in {path}, got"
                        f" {row['file']!r} with {row['identity']!r} in line {reader.line_num};"
                        " correct the line"
                    )
                named[row["file"]] = row["identity"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidArgumentError(
            f"protocol: expected a readable CSV file, got {path}: {error}; write it as UTF-8 with"
            " the header file,identity"
        ) from error
    return named
