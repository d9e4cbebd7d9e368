"""Turns what a user names on the command line into a stream of image paths."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff"},
)
"""What counts as an image while a folder is searched (case does not matter)."""

LIST_SUFFIXES = frozenset({".txt", ".lst"})
"""A file with one of these suffixes is read as a list of paths."""


def find_images(inputs: Sequence[str], stdin: TextIO | None = None) -> Iterator[str]:
    """Yields the path of every image that `inputs` name, each once, in a fixed order.

    Each input is one of

    - a folder: its files with an image suffix, at any depth, sorted; linked folders below it are
      not entered;
    - a file: taken as it is, whatever its suffix, so that a wrong one becomes a row with a reason;
    - a list file (.txt, .lst): one path a line, relative to the list's folder; blank lines and
      lines starting with "#" are skipped;
    - a pattern with `*`, `?`, `[...]`, `**` (any depth), if no file has that literal name: the
      matching files, sorted; a pattern whose last part has no suffix ("faces/*") finds files with
      an image suffix only;
    - "-": paths on standard input, one a line.

    What does not exist is yielded as it is, and becomes a row `file_not_found`. A folder or pattern
    without images yields nothing.

    Args:
        inputs: in the order in which they shall be scored.
        stdin: read for "-"; default: `sys.stdin`.

    Example:
        >>> list(find_images(["no/such.jpg"]))
        ['no/such.jpg']
    """
    seen: set[str] = set()
    for given in inputs:
        for path in _expand(given, stdin):
            # Two spellings of one path are one image; links are not resolved, that costs a
            # system call per part of the path.
            key = os.path.abspath(path)  # noqa: PTH100 - Path.absolute() keeps "..": no identity
            if key not in seen:
                seen.add(key)
                yield path


def _expand(given: str, stdin: TextIO | None) -> Iterator[str]:
    if given == "-":
        yield from _stripped_lines(stdin if stdin is not None else sys.stdin)
        return
    path = Path(given)
    if _exists(path):
        if path.is_dir():
            yield from _walk(given)
        elif path.suffix.lower() in LIST_SUFFIXES:
            yield from _read_list(given)
        else:
            yield given
    elif glob.has_magic(given):
        any_suffix = path.suffix != ""
        matches = glob.glob(given, recursive=True)  # noqa: PTH207 - takes absolute patterns too
        for match in sorted(matches, key=lambda match: Path(match).parts):
            candidate = Path(match)
            if not candidate.is_dir() and (any_suffix or _is_image_name(match)):
                yield match
    else:
        yield given


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long a name, an embedded NUL, a folder we may not enter
        return False


def _is_image_name(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _walk(folder: str) -> Iterator[str]:
    """The images under a folder, in the order of `sorted(Path(folder).rglob("*"))`."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError:
        yield folder  # may not be listed: a row says so, rather than images missing silently
        return
    names = {entry.name for entry in entries}
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            # Pictures that an earlier run made of its faces are no photographs.
            if entry.name == "explanations" and {"run.json", "scores.csv"} <= names:
                continue
            yield from _walk(entry.path)
        elif _is_image_name(entry.name) and not entry.is_dir():
            yield entry.path


def _read_list(list_file: str) -> Iterator[str]:
    folder = Path(list_file).parent
    try:
        # surrogateescape: a file name need not be valid UTF-8, but must survive the round trip
        with open(list_file, encoding="utf-8-sig", errors="surrogateescape") as lines:  # noqa: PTH123
            for line in _stripped_lines(lines):
                if not line.startswith("#"):
                    yield str(folder / line)
    except OSError:
        yield list_file


def _stripped_lines(lines: TextIO) -> Iterator[str]:
    for line in lines:
        if stripped := line.strip():
            yield stripped
