"""CFP as it is released: frontal images against profiles (FP), or against frontal ones (FF).

S. Sengupta et al., "Frontal to profile face verification in the wild", WACV 2016. In the folder
Protocol, Pair_list_F.txt and Pair_list_P.txt number the frontal and profile images (`1
../Data/Images/001/frontal/01.jpg`); Split/FP/01..10/same.txt and diff.txt hold pairs of numbers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.evaluation.protocols.checks import check_protocol
from fiqa_fast.evaluation.protocols.image_files import existing_files
from fiqa_fast.evaluation.protocols.text_columns import unreadable

PROTOCOL_FOLDER = "Protocol"


def read_cfp(
    root: str | Path, *, kind: Literal["FP", "FF"] = "FP", aligned: bool = False
) -> Protocol:
    """Reads all ten splits of the release.

    Args:
        root: the folder that holds Protocol and Data.
        kind: "FP" or "FF".
        aligned: whether the images are aligned crops; those of the release are not.

    Raises:
        InvalidArgumentError: a file is missing or has another form, or the comparisons make no
            sense.
    """
    folder = Path(root, PROTOCOL_FOLDER)
    frontal = _read_images(folder / "Pair_list_F.txt")
    other = frontal if kind == "FF" else _read_images(folder / "Pair_list_P.txt")
    splits = sorted((folder / "Split" / kind).glob("*/"))
    if not splits:
        raise InvalidArgumentError(
            f"protocol: expected folders 01 to 10 in {folder / 'Split' / kind}, got none; unpack"
            " the release of CFP as it is"
        )
    positions: dict[str, int] = {}
    sides: list[int] = []
    mated: list[bool] = []
    for split in splits:
        for file, is_mated in (("same.txt", True), ("diff.txt", False)):
            for line, number_a, number_b in _read_numbers(split / file):
                for images, number in ((frontal, number_a), (other, number_b)):
                    if number not in images:
                        raise InvalidArgumentError(
                            f"protocol: expected numbers of the image lists in {split / file}, got"
                            f" {number} in line {line}; unpack the release of CFP as it is"
                        )
                    sides.append(positions.setdefault(images[number], len(positions)))
                mated.append(is_mated)
    names = tuple(positions)
    people: dict[str, int] = {}
    identity = [people.setdefault(name.split("/")[-3], len(people)) for name in names]
    title = f"CFP-{kind}"
    return check_protocol(
        Protocol(
            name=title,
            samples=names,
            sources=existing_files(title, root, names),
            aligned=aligned,
            identity=np.array(identity, np.int32),
            sample_a=np.array(sides[0::2], np.int32),
            sample_b=np.array(sides[1::2], np.int32),
            mated=np.array(mated, np.bool_),
        )
    )


def _read_images(path: Path) -> dict[int, str]:
    """Names of images below the root, by their number."""
    images = {}
    for line, text in enumerate(_read(path).splitlines(), start=1):
        found = re.fullmatch(r"\s*(\d+)\s+(?:\.\./)?((?:[^/\s]+/){2,}[^/\s]+)\s*", text)
        if text.strip() and found is None:
            raise InvalidArgumentError(
                f"protocol: expected lines such as `1 ../Data/Images/001/frontal/01.jpg` in {path},"
                f" got {text[:80]!r} in line {line}; unpack the release of CFP as it is"
            )
        if found is not None:
            images[int(found[1])] = found[2]
    return images


def _read_numbers(path: Path) -> list[tuple[int, int, int]]:
    """Number of the line, and both numbers in it."""
    pairs = []
    for line, text in enumerate(_read(path).splitlines(), start=1):
        found = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", text)
        if text.strip() and found is None:
            raise InvalidArgumentError(
                f"protocol: expected two numbers with a comma in {path}, got {text[:80]!r} in line"
                f" {line}; unpack the release of CFP as it is"
            )
        if found is not None:
            pairs.append((line, int(found[1]), int(found[2])))
    return pairs


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
