"""Packages that only engines need, imported when one is asked for."""

from __future__ import annotations

import importlib
from types import ModuleType

from fiqa_fast.errors import UnavailableError


def require(package: str, extra: str) -> ModuleType:
    """Imports a package.

    Args:
        package: as it is imported.
        extra: of fiqa-fast, that installs it.

    Raises:
        UnavailableError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UnavailableError(
            f"engine: expected the package {package}, got {error};"
            f" install it with pip install 'fiqa-fast[{extra}]'"
        ) from error
