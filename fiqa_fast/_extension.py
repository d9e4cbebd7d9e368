"""Loads the compiled modules `_host` and `_ops.so`; without them everything runs on references."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType

import torch

host: ModuleType | None = None
"""The pybind11 module of the host work, or None."""

missing_reason = ""
"""Why the compiled extension is not in use, or "" when it is."""

try:
    from fiqa_fast import _host

    torch.ops.load_library(str(Path(_host.__file__).with_name("_ops.so")))  # type: ignore[no-untyped-call]
    host = _host
except (ImportError, OSError) as error:
    missing_reason = f"{type(error).__name__}: {error}"
    warnings.warn(
        "fiqa_fast: the compiled extension could not be loaded, so the plain reference code runs"
        f" instead: same numbers, slower. Install the package to build it (`pip install .`)."
        f" [{missing_reason}]",
        RuntimeWarning,
        stacklevel=2,
    )


def is_available() -> bool:
    """Whether the compiled operators and host functions are loaded."""
    return host is not None
