"""Where the samples lie inside large files, remembered: finding out reads the files once.

An index is a small .npz file, named after the paths, sizes and times of change of the files that
it describes; when one of them changes, another name is looked for. Files may be deleted at any
time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fiqa_fast.engines.graph_cache import cache_folder

FORM = 1
"""Of the arrays in the files; counted up when it changes."""

Index = Mapping[str, np.ndarray]


def remembered_index(
    files: Sequence[Path], build: Callable[[], Index], folder: Path | None, *, options: str = ""
) -> Index:
    """The index of some files, from an earlier call or built now.

    Args:
        files: what it describes; they exist.
        build: makes it; none of its arrays holds Python objects.
        folder: where it is kept; None: `training_indices` in the user's cache. A folder that
            cannot be written to is no error.
        options: what else decides the index.
    """
    path = (folder or cache_folder() / "training_indices") / f"{_key(files, options)}.npz"
    index = _kept(path)
    if index is None:
        index = build()
        _keep(index, path)
    return index


def _kept(path: Path) -> Index | None:
    """None where there is no such file, or a damaged one: zip files have checksums."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _key(files: Sequence[Path], options: str) -> str:
    digest = hashlib.sha256(repr((FORM, options)).encode())
    for file in files:
        status = file.stat()
        facts = (os.fspath(file.resolve()), status.st_size, status.st_mtime_ns)
        digest.update(repr(facts).encode("utf-8", "surrogateescape"))
    return f"{files[0].stem}-{digest.hexdigest()[:24]}"


def _keep(index: Index, path: Path) -> None:
    """The file appears when it is whole."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            np.savez(file, allow_pickle=False, **index)
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
