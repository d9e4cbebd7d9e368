"""Lists of pairs as text files: LFW's and XQLFW's, CALFW's and CPLFW's, and plain ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import BoolArray, IndexArray, Protocol
from fiqa_fast.evaluation.protocols.checks import check_protocol
from fiqa_fast.evaluation.protocols.image_files import existing_files, missing_files
from fiqa_fast.evaluation.protocols.text_columns import (
    TEXT,
    TRUTH,
    Positions,
    joined,
    read_blocks,
    truth,
    unreadable,
)

UNDERSTOOD = (
    "LFW's (`name 1 2`, or `name 1 other 2`, after a line such as `10 300`), CALFW's and CPLFW's"
    " (two lines `file flag` for a pair, flag 0: non-mated), and `path_a path_b 0|1`"
)
_SUFFIXES = (".jpg", ".png", ".jpeg", ".bmp", ".webp")


def read_pair_list(
    path: str | Path,
    *,
    image_root: str | Path | None = None,
    name: str | None = None,
    aligned: bool = False,
) -> Protocol:
    """Reads a list of pairs; its form is told by its first line.

    - LFW (Huang et al., 2007; XQLFW, Knoche et al., 2021): `name 1 2` is a mated pair of
      name/name_0001 and name/name_0002, `name 1 other 2` a non-mated one. A first line of numbers
      is passed over.
    - CALFW (Zheng et al., 2017) and CPLFW (2018): two lines `file flag` make a pair; the flag is 0
      for non-mated pairs, and the number of a fold for mated ones.
    - `path_a path_b 1` with 1 for mated and 0 for non-mated pairs, separated by blanks, tabs, or
      commas (then names may hold blanks).

    Args:
        path: the list.
        image_root: folder in which names are paths. None: the folder of the list, or the one in it
            that has the first image.
        name: of the data set; None: the list's name.
        aligned: whether the images are aligned crops.

    Raises:
        InvalidArgumentError: it cannot be read, or has another form; images are missing, or lie in
            several folders; the comparisons make no sense.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    first_line, _, rest = text.lstrip().partition("\n")
    if re.fullmatch(r"\d+(\s+\d+)?\s*", first_line):  # LFW's numbers of folds and of pairs
        text, first_line = rest, rest.lstrip().partition("\n")[0]
    pairs = _read_pairs(path, text, first_line)
    root, suffix = _find_images(path, pairs.names[0], pairs.suffixes, image_root)
    names = tuple(f"{file}{suffix}" for file in pairs.names)
    title = name or path.stem
    return check_protocol(
        Protocol(
            name=title,
            samples=names,
            sources=existing_files(title, root, names),
            aligned=aligned,
            identity=pairs.identity,
            sample_a=pairs.a,
            sample_b=pairs.b,
            mated=pairs.mated,
        )
    )


@dataclass(frozen=True)
class _Pairs:
    """What a list says: distinct names, and which of them are compared."""

    names: tuple[str, ...]
    a: IndexArray
    b: IndexArray
    mated: BoolArray
    identity: IndexArray | None = None
    suffixes: Sequence[str] = ("",)  # one of them ends every file's name


def _read_pairs(path: Path, text: str, first_line: str) -> _Pairs:
    fields = first_line.split()
    if not fields:
        raise InvalidArgumentError(
            f"protocol: expected a list of pairs, got none in {path}; the forms are {UNDERSTOOD}"
        )
    if _lfw_pair(fields) is not None:
        return _read_lfw(path, text)
    if "," in first_line:
        return _read_plain(path, text, ",")
    if "\t" in first_line:
        return _read_plain(path, text, "\t")
    if len(fields) == 2 and fields[1].isdecimal():
        return _read_two_lines(path, text)
    if len(fields) == 3:
        return _read_plain(path, re.sub(" +", " ", text), " ")
    raise _not_understood(path, 1, first_line)


def _lfw_pair(fields: Sequence[str]) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """Person and number of both samples, or None for a line of another form."""
    if len(fields) == 3 and fields[1].isdecimal() and fields[2].isdecimal():
        return (fields[0], fields[1]), (fields[0], fields[2])
    if len(fields) == 4 and fields[1].isdecimal() and fields[3].isdecimal():
        return (fields[0], fields[1]), (fields[2], fields[3])
    return None


def _read_lfw(path: Path, text: str) -> _Pairs:
    positions: dict[str, int] = {}
    people: dict[str, int] = {}
    identity: list[int] = []
    sides: list[int] = []
    mated: list[bool] = []
    for number, line in _lines(text):
        pair = _lfw_pair(line.split())
        if pair is None:
            raise _not_understood(path, number, line)
        for person, image in pair:
            file = f"{person}/{person}_{int(image):04d}"
            sides.append(positions.setdefault(file, len(positions)))
            if len(identity) < len(positions):
                identity.append(people.setdefault(person, len(people)))
        mated.append(len(line.split()) == 3)
    return _Pairs(
        names=tuple(positions),
        a=np.array(sides[0::2], np.int32),
        b=np.array(sides[1::2], np.int32),
        mated=np.array(mated, np.bool_),
        identity=np.array(identity, np.int32),
        suffixes=_SUFFIXES,
    )


def _read_two_lines(path: Path, text: str) -> _Pairs:
    positions: dict[str, int] = {}
    sides: list[int] = []
    mated: list[bool] = []
    for number, line in _lines(text):
        fields = line.split()
        if len(fields) != 2 or not fields[1].isdecimal():
            raise _not_understood(path, number, line)
        sides.append(positions.setdefault(fields[0], len(positions)))
        mated.append(fields[1] != "0")
    wrong = [
        i
        for i, (flag_a, flag_b) in enumerate(zip(mated[0::2], mated[1::2], strict=False))
        if flag_a != flag_b
    ]
    if len(sides) % 2 or wrong:
        raise InvalidArgumentError(
            f"protocol: expected two lines with one flag for each pair in {path}, got"
            f" {f'two flags in pair {wrong[0] + 1}' if wrong else f'{len(sides)} lines'}; correct"
            " the list"
        )
    return _Pairs(
        names=tuple(positions),
        a=np.array(sides[0::2], np.int32),
        b=np.array(sides[1::2], np.int32),
        mated=np.array(mated[0::2], np.bool_),
    )


def _read_plain(path: Path, text: str, separator: str) -> _Pairs:
    positions = Positions()
    content = re.sub(rf"[ \r]*(\n|{separator}|$) *", r"\1", text.strip()).encode()
    columns = {"path_a": TEXT, "path_b": TEXT, "mated": TRUTH}
    parts = [
        (*positions.of(block[0], block[1]), truth(block[2]))
        for block in read_blocks(
            path, columns, content=content, separator=separator, has_header=False
        )
    ]
    a, b, mated = zip(*parts, strict=True)
    return _Pairs(
        positions.names(path), joined(a, np.int32), joined(b, np.int32), joined(mated, np.bool_)
    )


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    return ((i, line) for i, line in enumerate(text.splitlines(), start=1) if line.strip())


def _not_understood(path: Path, number: int, line: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"protocol: expected a list of pairs in {path}, got {line.strip()[:80]!r} in line {number}"
        f" of the pairs; the forms are {UNDERSTOOD}"
    )


def _find_images(
    path: Path, first: str, suffixes: Sequence[str], image_root: str | Path | None
) -> tuple[Path, str]:
    """The folder that has the first image, and the suffix that its name lacks."""
    if image_root is None:
        below = sorted(entry for entry in path.parent.iterdir() if entry.is_dir())
        folders = [path.parent, *below]
    else:
        folders = [Path(image_root)]
    found = [
        (folder, suffix)
        for folder in folders
        for suffix in suffixes
        if not missing_files(folder, [first + suffix])
    ]
    if len(found) == 1:
        return found[0]
    searched = ", ".join(map(str, folders[:5])) + (" and others" if len(folders) > 5 else "")
    places = ", ".join(str(folder / f"{first}{suffix}") for folder, suffix in found)
    raise InvalidArgumentError(
        f"protocol: expected the image {first}{suffixes[0]} of {path} in one place, got"
        f" {places or f'none in {searched}'}; give the folder of the images as image_root"
    )
