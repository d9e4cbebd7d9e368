"""From the options of a command to scorers, and to the settings that decide their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fiqa_fast.scorers.base import Scorer
from fiqa_fast.scorers.registry import create_scorer, default_network
from fiqa_fast.version import __version__


def make_scorers(
    options: Mapping[str, Mapping[str, Any]],
    networks: Mapping[str, str | None],
    files: Mapping[str, str | None],
    **common: Any,
) -> list[Scorer]:
    """The methods in the order given; those with the same network and file share it."""
    groups: dict[tuple[str | None, str | None], list[str]] = {}
    for name in options:
        network, file = networks[name], files[name]
        if network is None and file is None:
            network = default_network(name)
        groups.setdefault((network, file), []).append(name)
    made: dict[str, Scorer] = {}
    for (network, file), names in groups.items():
        of_group: dict[str, Any] = {**common, **{name: options[name] for name in names}}
        together = create_scorer(names, backbone=network, weights=file, **of_group)
        made |= {scorer.spec.name: scorer for scorer in together.scorers}
    return [made[name] for name in options]


def run_settings(scorers: Sequence[Scorer], **choices: Any) -> dict[str, Any]:
    """Everything that decides the rows: must be equal for a run to be resumed."""
    return {
        "version": __version__,
        "scorers": {
            s.spec.name: {
                "output": s.output,
                **s.parameters,
                "variant": s.variant,
                "backbone": s.backbone.spec.name,
                "weights_sha256": s.backbone.weights_sha256,
                "bn_statistics": s.backbone.bn_statistics,
                "precision": s.precision,
                "device": s.device,
                "engine": s.engine,
            }
            for s in scorers
        },
        **choices,
    }
