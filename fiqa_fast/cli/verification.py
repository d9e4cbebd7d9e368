"""Recognition networks as a command names them: `--verify [LABEL=]NAME|FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.registry import DEFAULT_BACKBONE, READY_BACKBONES, load_backbone
from fiqa_fast.errors import InvalidArgumentError


def load_networks(given: Sequence[str], device: str = "auto") -> dict[str, Backbone]:
    """Loads the networks that give the comparison scores.

    Args:
        given: each the name of a network with packaged weights, or a weights file, perhaps behind
            LABEL=; empty: the default network.
        device: as of `load_backbone`.

    Returns:
        By label: as given, or the network's name.

    Raises:
        InvalidArgumentError: two networks of one label.
        WeightsError: a file cannot be used.
    """
    networks: dict[str, Backbone] = {}
    for label, text in parse_labels(given or [DEFAULT_BACKBONE], "--verify"):
        packaged = text in READY_BACKBONES
        network = load_backbone(
            text if packaged else None, weights=None if packaged else text, device=device
        )
        name = label or network.spec.name
        if name in networks:
            raise InvalidArgumentError(
                f"evaluate: expected networks with different labels, got {name} twice; write"
                " --verify LABEL=FILE"
            )
        networks[name] = network
    return networks


def parse_labels(given: Sequence[str], option: str) -> list[tuple[str, str]]:
    """Splits `LABEL=VALUE` and `VALUE`; the label of the latter is "".

    Raises:
        InvalidArgumentError: nothing behind LABEL=.
    """
    parsed = []
    for text in given:
        label, equals, value = text.partition("=")
        if not equals or (Path(text).exists() and not Path(value).exists()):
            label, value = "", text  # a file's name may hold "=" too
        if not value:
            raise InvalidArgumentError(
                f"evaluate: expected {option} [LABEL=]VALUE, got {text!r}; give a value"
            )
        parsed.append((label, value))
    return parsed
