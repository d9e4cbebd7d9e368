"""The client's packages, imported when a client is made."""

from __future__ import annotations

import importlib
from types import ModuleType

from fiqa_fast.errors import UnavailableError


def import_package(name: str) -> ModuleType:
    """Imports a package of the extra `client`.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(
            f"client: expected the package {name.partition('.')[0]}, got {error};"
            " pip install 'fiqa-fast[client]'"
        ) from error
