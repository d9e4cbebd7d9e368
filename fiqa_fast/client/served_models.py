"""Which models a server has, and where their numbers come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fiqa_fast.client.connection import ModelConfig
from fiqa_fast.client.errors import ContractError, ModelUnavailableError
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.provenance import Provenance
from fiqa_fast.serving.promise import PARAMETER


@dataclass(frozen=True)
class ServedColumn:
    """One column of a model's `raw_score`.

    Attributes:
        model: that computes it (a scorer's, also in the ensemble).
        position: of the column.
        output: of the scorer.
        provenance: of the scorer's scores.
    """

    model: str
    position: int
    output: str
    provenance: Provenance


def scorer_columns(config: ModelConfig) -> list[ServedColumn] | None:
    """The columns of a scorer's model; None for a model that is no scorer.

    Raises:
        ContractError: it is one of another version.
    """
    text = config.parameters.get(PARAMETER)
    if text is None or not text.lstrip().startswith("{"):
        return None
    try:
        provenance = Provenance.from_json(text)
    except InvalidArgumentError as error:
        raise _unreadable(config, text) from error
    return [
        ServedColumn(config.name, position, output, provenance)
        for position, output in enumerate(provenance.outputs)
    ]


def ensemble_columns(config: ModelConfig) -> list[ServedColumn]:
    """The columns of the ensemble.

    Raises:
        ContractError: the model does not say where its numbers come from.
    """
    text = config.parameters.get(PARAMETER, "")
    try:
        entries: list[dict[str, Any]] = json.loads(text)
        return [
            ServedColumn(
                entry["model"],
                position,
                entry["output"],
                Provenance.from_json(json.dumps(entry["provenance"])),
            )
            for position, entry in enumerate(entries)
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(config, text) from error


def choose_columns(
    columns: Sequence[ServedColumn], names: Sequence[str] | None, *, all_outputs: bool
) -> list[ServedColumn]:
    """The columns of those methods that are wanted, in the order in which they are named.

    Args:
        columns: of the ensemble.
        names: of models, or of scorers; None: all.
        all_outputs: every output of each instead of its default one.

    Raises:
        InvalidArgumentError: the ensemble has no column of one of them, or not all outputs.
    """
    if names is None:
        names = list(dict.fromkeys(column.model for column in columns))
    chosen = []
    for name in names:
        found = [c for c in columns if name in (c.model, c.provenance.scorer)]
        if not found:
            has = ", ".join(dict.fromkeys(c.model for c in columns))
            raise InvalidArgumentError(
                f"client: expected scorers of the server's ensemble (of {has}), got {name!r}; name"
                " one of them, or find the faces here (detect='client')"
            )
        for model in dict.fromkeys(c.model for c in found):
            of_model = [c for c in found if c.model == model]
            chosen += wanted_outputs(of_model, all_outputs=all_outputs)
    return chosen


def wanted_outputs(columns: Sequence[ServedColumn], *, all_outputs: bool) -> list[ServedColumn]:
    """Of one method's columns those that are wanted.

    Raises:
        InvalidArgumentError: they are not among them.
    """
    provenance = columns[0].provenance
    wanted = provenance.outputs if all_outputs else (provenance.default_output,)
    by_output = {column.output: column for column in columns}
    missing = [output for output in wanted if output not in by_output]
    if missing:
        raise InvalidArgumentError(
            f"client: expected the outputs {', '.join(wanted)} of {columns[0].model}, got"
            f" {', '.join(by_output)} from the server; find the faces here (detect='client'), or"
            " build its repository with `all_outputs: true`"
        )
    return [by_output[output] for output in wanted]


def choose_models(names: Sequence[str], served: Sequence[str]) -> list[str]:
    """The server's models by their own names or those of scorers ("ser-fiq" is ser_fiq).

    Raises:
        ModelUnavailableError: the server has none of such a name.
    """
    chosen = []
    for name in names:
        model = name if name in served else name.replace("-", "_")
        if model not in served:
            raise ModelUnavailableError(
                f"client: expected the name of a model that the server has loaded (of"
                f" {', '.join(served) or 'none'}), got {name!r}; load it, or name another"
            )
        chosen.append(model)
    return chosen


def _unreadable(config: ModelConfig, text: str) -> ContractError:
    return ContractError(
        f"client: expected {config.name} to say in its configuration where its scores come from"
        f" (parameter {PARAMETER}), got {text[:80]!r}; serve a repository of"
        " `fiqa-fast serve build-repo` of this version"
    )
