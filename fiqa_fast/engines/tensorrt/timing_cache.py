"""TensorRT's timing cache: how fast each kernel was, kept from one build to the next.

A second build of the same network then takes seconds, and chooses the same kernels. TensorRT-RTX
has none: it measures nothing while it builds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiqa_fast.engines.tensorrt.libraries import Library
from fiqa_fast.engines.tensorrt.plan_file import replace_file
from fiqa_fast.errors import InvalidArgumentError, UnavailableError


class TimingCache:
    """A timing cache in a file, attached to a builder's configuration.

    Args:
        library: TensorRT.
        path: of the file; made by the first build.

    Raises:
        InvalidArgumentError: the library is TensorRT-RTX, or the file cannot be read.
    """

    def __init__(self, library: Library, path: Path) -> None:
        if library.flavour != "tensorrt":
            raise InvalidArgumentError(
                f"{library.flavour}: expected timing_cache=None, got {path}; this library measures"
                " nothing while it builds (its runtime_cache keeps compiled kernels)"
            )
        self._path = path
        try:
            self._before = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise InvalidArgumentError(
                f"tensorrt: expected timing_cache to be a file, got {path}: {error}"
            ) from error

    def attach(self, config: Any) -> None:
        """Gives the cache to a configuration, before the build.

        Raises:
            UnavailableError: it was made on another GPU or by another version.
        """
        self._cache = config.create_timing_cache(self._before)  # lives as long as this object
        if self._cache is None or not config.set_timing_cache(self._cache, False):
            raise UnavailableError(
                f"tensorrt: expected a timing cache of this GPU and this version, got {self._path};"
                " delete the file or name another one"
            )

    def save(self, config: Any) -> None:
        """Writes what the build measured, and what was there before."""
        serialised = config.get_timing_cache().serialize()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, bytes(serialised))
