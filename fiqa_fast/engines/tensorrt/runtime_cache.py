"""TensorRT-RTX's runtime cache: the kernels that it compiled on a GPU, kept for the next start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiqa_fast.engines.tensorrt.libraries import Library
from fiqa_fast.engines.tensorrt.plan_file import replace_file
from fiqa_fast.errors import InvalidArgumentError


class RuntimeCache:
    """How the contexts of an engine come to their kernels.

    Kernels are compiled for each shape before it first runs ("eager"): by default the library would
    compute with others until they are there, and a score would depend on when it was asked for.

    Args:
        library: TensorRT-RTX.
        engine: of the library, `ICudaEngine`.
        path: of the cache's file; None: kernels are compiled again in every process. A cache of
            another GPU or version is replaced.

    Raises:
        InvalidArgumentError: the file cannot be read.
    """

    def __init__(self, library: Library, engine: Any, path: Path | None) -> None:
        self._path = path
        self.config = engine.create_runtime_config()
        strategies = library.module.DynamicShapesKernelSpecializationStrategy
        self.config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        if path is None:
            return
        self._cache = self.config.create_runtime_cache()
        try:
            before = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise InvalidArgumentError(
                f"tensorrt-rtx: expected runtime_cache to be a file, got {path}: {error}"
            ) from error
        if before:
            self._cache.deserialize(before)  # False: of another GPU or version, and left empty
        self.config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Writes the file, where there is one."""
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, bytes(self._cache.serialize()))
