"""YAML files as plain data."""

from __future__ import annotations

from pathlib import Path

from fiqa_fast.errors import InvalidArgumentError, UnavailableError


def read_yaml(
    path: Path, *, verb: str, extra: str, expected: str = "a readable YAML file"
) -> object:
    """Mappings, lists, text and numbers of a file.

    Args:
        path: the file.
        verb: what wants it, for messages.
        extra: of the package, that brings PyYAML.
        expected: what the file should have been, for messages.

    Raises:
        InvalidArgumentError: it cannot be read, or is no YAML.
        UnavailableError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise UnavailableError(
            f"{verb}: expected the package PyYAML, found none; run `pip install"
            f" 'fiqa-fast[{extra}]'`"
        ) from error
    try:
        content: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidArgumentError(
            f"{verb}: expected {expected}, got {path} ({error}); check its name and syntax"
        ) from error
    return content
