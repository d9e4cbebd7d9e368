"""Parameters of methods on the command line: `--option faceqan.k=5`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.registry import scorer_class

_CONVERTERS = {"int": int, "float": float, "float | None": float, "str | None": str}


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
