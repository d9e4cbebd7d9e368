"""The photographs of a small benchmark, and whom they show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.ladder.rungs import find_photos
from fiqa_fast.evaluation.protocols.folder import IDENTITIES, read_identities
from fiqa_fast.images.sources import IMAGE_SUFFIXES


@dataclass(frozen=True)
class Photograph:
    """One photograph.

    Attributes:
        path: its file.
        name: of its own, without an ending: names the files of its ladder.
        identity: whom it shows.
    """

    path: Path
    name: str
    identity: str


def find_photographs(folder: Path) -> list[Photograph]:
    """Lists photographs with their identities.

    Args:
        folder: either with a sub-folder for each person, or with the photographs themselves and a
            file identities.csv (columns file,identity).

    Raises:
        InvalidArgumentError: neither form, a photograph without identity, or nobody with two
            photographs.
    """
    table = folder / IDENTITIES
    found = _by_table(folder, table) if table.is_file() else _by_folder(folder)
    by_identity = [photograph.identity for photograph in found]
    if len(set(by_identity)) < 2 or len(set(by_identity)) == len(by_identity):
        raise InvalidArgumentError(
            "benchmark: expected photographs of two or more people, one of them with two or more,"
            f" got {len(found)} of {len(set(by_identity))} people in {str(folder)!r}; comparisons"
            " of the same person and of different ones are needed"
        )
    return found


def _by_table(folder: Path, table: Path) -> list[Photograph]:
    identity_of = read_identities(table)
    photos = find_photos(folder)
    unknown = [path.name for path in photos if path.name not in identity_of]
    if unknown:
        raise InvalidArgumentError(
            f"benchmark: expected an identity for every photograph in {table}, got none for"
            f" {', '.join(unknown[:5])}; add a line for each"
        )
    return [Photograph(path, path.stem, identity_of[path.name]) for path in photos]


def _by_folder(folder: Path) -> list[Photograph]:
    people = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    found = [
        Photograph(path, f"{person.name}--{path.stem}", person.name)
        for person in people
        for path in sorted(person.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES
    ]
    if not found:
        raise InvalidArgumentError(
            "benchmark: expected a folder with a sub-folder for each person, or with photographs"
            f" and {IDENTITIES}, got {str(folder)!r}; name one that exists"
        )
    names = [photograph.name for photograph in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidArgumentError(
            f"benchmark: expected one photograph per name, got {twice} twice; rename one"
        )
    return found
