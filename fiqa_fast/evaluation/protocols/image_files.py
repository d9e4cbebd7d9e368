"""Image files below a folder, by names relative to it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.checks import name_some
from fiqa_fast.pipeline import Source


class ImageFiles(Sequence[Source]):
    """The path of each sample, made when it is asked for: there may be millions.

    Args:
        folder: in which the names hold.
        names: of files, relative to the folder, with "/"; or whole paths.
    """

    def __init__(self, folder: str | Path, names: tuple[str, ...]) -> None:
        self._folder, self._names = os.fspath(folder), names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> ImageFiles: ...

    def __getitem__(self, index: int | slice) -> str | ImageFiles:
        if isinstance(index, slice):
            return ImageFiles(self._folder, self._names[index])
        return os.path.join(self._folder, self._names[index])  # noqa: PTH118 - a str, millions


def missing_files(folder: str | Path, names: Iterable[str]) -> list[str]:
    """Those of the names behind which there is no file. Each folder is listed once."""
    listed: dict[str, frozenset[str]] = {}
    missing = []
    for name in names:
        parent, _, file = name.rpartition("/")
        if parent not in listed:
            listed[parent] = _listed(Path(folder, f"{parent}/" if name.startswith("/") else parent))
        if file not in listed[parent]:
            missing.append(name)
    return missing


def existing_files(what: str, folder: str | Path, names: tuple[str, ...]) -> ImageFiles:
    """The image files of all samples.

    Args:
        what: name of the data set, for the message.
        folder: in which the names hold.
        names: of the samples.

    Raises:
        InvalidArgumentError: some are missing; the message names a few.
    """
    missing = missing_files(folder, names)
    if missing:
        raise InvalidArgumentError(
            f"{what}: expected the image files of {len(names)} samples in {folder}, got"
            f" {len(missing)} without a file: {name_some(missing, len(missing))}; put them there,"
            " or give the folder that holds them"
        )
    return ImageFiles(folder, names)


def files_if_any(what: str, folder: str | Path, names: tuple[str, ...]) -> Sequence[Source]:
    """The image files of all samples, or nothing where none of them has any.

    Raises:
        InvalidArgumentError: some have a file and some have none.
    """
    if len(missing_files(folder, names)) == len(names):
        return ()
    return existing_files(what, folder, names)


def _listed(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - names alone, up to millions
    except OSError:  # no such folder, or none that may be entered: its files are missing
        return frozenset()
