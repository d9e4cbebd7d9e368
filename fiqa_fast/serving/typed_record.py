"""Plain data (of YAML, of JSON) as dataclasses, checked key by key and value by value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from fiqa_fast.errors import InvalidArgumentError, WeightsError

_Record = TypeVar("_Record")

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def parse_record(
    kind: type[_Record], content: object, *, where: str = "", folder: Path = Path()
) -> _Record:
    """Makes a dataclass of mappings, lists, text and numbers.

    Args:
        kind: a dataclass; fields may be int, float, bool, str, Any, Path, Literal, `X | None`,
            tuple[X, ...], dict[str, X], and dataclasses.
        content: the data.
        where: the keys that lead to it, for messages; "" for the whole file.
        folder: that paths are relative to.

    Raises:
        InvalidArgumentError: an unknown or missing key, or a value of another type; the message
            names it and what is valid.
    """
    if not isinstance(content, Mapping):
        raise wrong_value(where or "the file", "a mapping of keys to values", content)
    hints = get_type_hints(kind)
    for key in content:
        if key not in hints:
            raise InvalidArgumentError(
                f"serve: expected a key of {where or 'the file'} (one of {', '.join(hints)}), got"
                f" {key!r}; check the spelling"
            )
    for entry in fields(kind):  # type: ignore[arg-type]
        required = entry.default is MISSING and entry.default_factory is MISSING
        if required and entry.name not in content:
            raise InvalidArgumentError(
                f"serve: expected the key {_below(where, entry.name)}, found none; add it"
            )
    return kind(
        **{key: _value(hints[key], v, _below(where, key), folder) for key, v in content.items()}
    )


def wrong_value(where: str, expected: str, value: object) -> InvalidArgumentError:
    """The error for a value that is none of those expected."""
    return InvalidArgumentError(
        f"serve: expected {where} to be {expected}, got {value!r}; change it"
    )


def record_text(record: Any) -> str:
    """A dataclass as JSON, with a line for each entry."""
    return json.dumps(asdict(record), indent=2) + "\n"


def read_record(kind: type[_Record], path: Path) -> _Record:
    """Reads what `record_text` wrote.

    Raises:
        WeightsError: there is no such file, or it holds something else.
    """
    try:
        return parse_record(kind, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:  # ValueError: no JSON, or InvalidArgumentError
        raise WeightsError(
            f"serve: expected {path} as `fiqa-fast serve build-repo` writes it, got: {error};"
            " build the repository again"
        ) from error


def _value(kind: Any, value: object, where: str, folder: Path) -> Any:
    """A value as a field of that type."""
    arguments = get_args(kind)
    if NoneType in arguments:
        return None if value is None else _value(arguments[0], value, where, folder)
    if kind is Any:
        return value
    if get_origin(kind) is Literal:
        if value not in arguments:
            raise wrong_value(where, f"one of {', '.join(arguments)}", value)
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise wrong_value(where, "a list", value)
        return tuple(_value(arguments[0], v, f"{where}[{i}]", folder) for i, v in enumerate(value))
    if get_origin(kind) is dict:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise wrong_value(where, "a mapping of names to values", value)
        return {k: _value(arguments[1], v, _below(where, k), folder) for k, v in value.items()}
    if kind is Path:
        if not isinstance(value, str):
            raise wrong_value(where, "the path of a file", value)
        return folder / value
    if kind in _NAMES:
        accepted = (int, float) if kind is float else (kind,)
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise wrong_value(where, _NAMES[kind], value)
        return value
    return parse_record(kind, value, where=where, folder=folder)


def _below(where: str, key: str) -> str:
    return f"{where}.{key}" if where else str(key)
