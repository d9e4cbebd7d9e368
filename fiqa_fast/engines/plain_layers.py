"""What a graph is traced from: a method on a network's plain layers, on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Collection

import torch

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.base import Scorer


def on_plain_layers(scorer: Scorer, precision: str) -> Scorer:
    """The same method on a copy of its network with the engine "reference", on the CPU.

    Raises:
        InvalidArgumentError: the method is not exact enough in the precision.
    """
    network = scorer.backbone
    if network.precision != precision or network.device.type != "cpu":
        network = copy.deepcopy(network).prepare(torch.device("cpu"), precision)
    kind = type(scorer)
    return kind(
        network, scorer.options, variant=scorer.variant, seed=scorer.seed, engine="reference"
    )


def check_precision(scorer: Scorer, precision: str, known: Collection[str]) -> None:
    """Checks that a graph of a scorer can be in a precision.

    Args:
        scorer: the method on its network.
        precision: of the graph.
        known: the precisions of the engine or target.

    Raises:
        InvalidArgumentError: it cannot, or the network is not in float32, from which graphs are
            made.
    """
    if scorer.backbone.precision != "float32":
        raise InvalidArgumentError(
            f"{scorer.spec.name}: expected a network in float32, got {scorer.backbone.precision};"
            " load it in float32, and give the precision to the export or to create_scorer"
        )
    valid = [p for p in known if p in scorer.spec.precisions]
    if precision not in valid:
        raise InvalidArgumentError(
            f"{scorer.spec.name}: expected precision to be one of {', '.join(valid)}, got"
            f" {precision!r}; the method loses its signal in that arithmetic, or the engine does"
            " not have it"
        )
