"""What belongs to single methods: `--option faceqan.k=5`, `--weights cr-fiqa=backbone.pth`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.registry import list_scorers, scorer_class

_CONVERTERS = {"int": int, "float": float, "float | None": float, "str": str, "str | None": str}


def parse_options(given: Sequence[str], scorers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Turns `METHOD.NAME=VALUE` into typed parameters for each method.

    Args:
        given: what stands behind each `--option`.
        scorers: names of the methods that will run.

    Returns:
        For each method its parameters; empty where none are given.

    Raises:
        InvalidArgumentError: no method at all, an unknown method, one that does not run, an unknown
            parameter, or a value of the wrong type.
    """
    if not scorers:
        raise InvalidArgumentError(
            "score: expected the name of a method for --scorer, got none; see `fiqa-fast models`"
        )
    types = {
        s: {f.name: str(f.type) for f in fields(scorer_class(s).options_type)} for s in scorers
    }
    options: dict[str, dict[str, Any]] = {scorer: {} for scorer in scorers}
    for text in given:
        key, equals, value = text.partition("=")
        scorer, dot, name = key.partition(".")
        if not equals or not dot or scorer not in types or name not in types[scorer]:
            valid = [f"{s}.{n}" for s, names in types.items() for n in names]
            raise InvalidArgumentError(
                f"score: expected --option METHOD.NAME=VALUE with one of {', '.join(valid)},"
                f" got {text!r}; check the spelling, and that --scorer names the method"
            )
        kind = types[scorer][name]
        try:
            options[scorer][name] = _CONVERTERS[kind](value)
        except ValueError as error:
            raise InvalidArgumentError(
                f"score: expected {key} to be of type {kind}, got {value!r}; give a number"
            ) from error
    return options


def parse_per_method(
    given: Sequence[str], methods: Sequence[str], option: str, alone: Sequence[str] = ()
) -> dict[str, str | None]:
    """Turns `VALUE` (for all methods) and `METHOD=VALUE` into a value for each method.

    Args:
        given: what stands behind each occurrence of the option.
        methods: names of the methods that will run.
        option: the option's name, for the message.
        alone: of the methods, those that a value for all does not concern.

    Returns:
        For each method its value; None where nothing is given.

    Raises:
        InvalidArgumentError: two values for one method or for all, none behind METHOD=, or a method
            that does not run.
    """
    registered = {spec.name for spec in list_scorers()}
    values: dict[str, str | None] = {}
    common: list[str] = []
    for text in given:
        method, equals, value = text.partition("=")
        is_a_file = Path(text).exists() and not Path(value).exists()  # its name may hold "=" too
        if not equals or method not in registered or is_a_file:
            common.append(text)
            continue
        if method not in methods or not value:
            raise InvalidArgumentError(
                f"score: expected {option} METHOD=VALUE with one of {', '.join(methods)},"
                f" got {text!r}; name the method in --scorer too, and give a value"
            )
        if method in values:
            raise InvalidArgumentError(
                f"score: expected one {option} for {method}, got two; leave one out"
            )
        values[method] = value
    if len(common) > 1:
        raise InvalidArgumentError(
            f"score: expected {option} once, or as METHOD=VALUE with one of {', '.join(methods)},"
            f" got {', '.join(common)}; say which is for which method"
        )
    for_all = common[0] if common else None
    return {m: values.get(m, None if m in alone else for_all) for m in methods}
