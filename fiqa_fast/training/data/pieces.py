"""Pieces of large files, read by any number of threads."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

from fiqa_fast.errors import ImageError
from fiqa_fast.types import FailureReason

_KEPT_OPEN = 256
"""Systems allow 1,024 open files by default; a set may have more shards than that."""


class Pieces:
    """Files that are read in pieces; the first 256 stay open.

    Positions are given with each read, and memory maps are not used: a file that became shorter is
    then an error that can be caught.

    Args:
        files: existing ones.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._open: dict[int, int] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._open)

    def read(self, file: int, offset: int, size: int) -> bytes:
        """Some bytes of a file.

        Args:
            file: position among the files.
            offset: of the first byte.
            size: number of bytes.

        Raises:
            ImageError: `file_not_found` where they cannot be read, `corrupt_image` where the file
                ends before.
        """
        path = self._files[file]
        try:
            content = self._read(file, path, offset, size)
        except OSError as error:
            raise ImageError(
                FailureReason.FILE_NOT_FOUND, f"{path}: cannot be read ({error.strerror})"
            ) from error
        if len(content) < size:
            raise ImageError(
                FailureReason.CORRUPT_IMAGE,
                f"{path}: expected {size} bytes at offset {offset}, got {len(content)}; the file"
                " became shorter since it was opened",
            )
        return content

    def _read(self, file: int, path: Path, offset: int, size: int) -> bytes:
        with self._lock:
            if file not in self._open and len(self._open) < _KEPT_OPEN:
                self._open[file] = os.open(path, os.O_RDONLY)
        kept = self._open.get(file)
        if kept is not None:
            return os.pread(kept, size, offset)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return os.pread(descriptor, size, offset)
        finally:
            os.close(descriptor)


def _close_all(descriptors: dict[int, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)
