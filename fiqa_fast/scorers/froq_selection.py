"""FROQ's choice of layers: those whose norms rank faces as another method does."""

from __future__ import annotations

import numpy as np

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.ranks import correlate_ranks
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.scorers.crops import Crops
from fiqa_fast.scorers.evaluation import evaluate_together
from fiqa_fast.scorers.froq import Froq, FroqOptions, layer_names
from fiqa_fast.types import Float64Array

_LEAST_FACES = 3


def select_layers(
    network: Backbone, crops: Crops, quality: Float64Array, *, candidates: int = 10
) -> str:
    """Chooses the layers of a network for FROQ on a calibration set.

    The layers with the highest Spearman correlation between norm and quality are candidates. The
    best one comes first; then always the one whose norm, averaged with those already chosen,
    correlates best. Of the sets that arise, the one with the highest correlation is the choice.

    Babnik et al., "FROQ: Observing Face Recognition Models for Efficient Quality Assessment" (IJCB
    2025). Their calibration set is a part of Glint360K, and their pseudo-quality comes from the
    embedding's stability under noise, occlusion and mirroring. Here any quality may be given, such
    as the scores of FaceQAN.

    Args:
        network: on which FROQ is to run.
        crops: as `Scorer.score` takes them, N faces of very different quality.
        quality: float64 [N], finite, higher is better; the scale does not matter.
        candidates: how many layers the search considers, the paper's value.

    Returns:
        The option `layers` of FROQ on this network.

    Raises:
        InvalidArgumentError: fewer than 3 faces, another number of qualities than of crops,
            qualities that are not finite or all equal, or candidates < 1.

    Example:
        >>> quality = create_scorer("faceqan", backbone=network).score(crops).double().numpy()
        >>> create_scorer("froq", backbone=network, layers=select_layers(network, crops, quality))
    """
    quality = np.asarray(quality, np.float64)
    if quality.shape != (len(crops),) or len(crops) < _LEAST_FACES:
        raise InvalidArgumentError(
            f"select_layers: expected a quality for each of at least {_LEAST_FACES} crops, got"
            f" {len(crops)} crops and qualities of shape {list(quality.shape)}; score the same"
            " crops with another method"
        )
    if not np.isfinite(quality).all() or np.ptp(quality) == 0:
        raise InvalidArgumentError(
            "select_layers: expected finite qualities that differ, got"
            f" {np.unique(quality)[:3].tolist()}; use faces of different quality"
        )
    if candidates < 1:
        raise InvalidArgumentError(
            f"select_layers: expected candidates >= 1, got {candidates}; the paper uses 10"
        )
    norms = _norms(network, crops)
    utility = {name: _agreement(values, quality) for name, values in norms.items()}
    left = sorted(utility, key=lambda name: -utility[name])[:candidates]
    chosen: list[str] = []
    best, best_utility = "", -np.inf
    while left:

        def of_set(name: str, before: tuple[str, ...] = tuple(chosen)) -> float:
            return _agreement(np.mean([norms[n] for n in (*before, name)], 0), quality)

        added = max(left, key=of_set)
        reached = of_set(added)
        chosen.append(added)
        left.remove(added)
        if reached > best_utility:
            best, best_utility = ",".join(chosen), reached
    return best


def _norms(network: Backbone, crops: Crops) -> dict[str, Float64Array]:
    """For each unit of the network the norms of its output, float64 [N]."""
    scorers = {
        name: Froq(network, FroqOptions(layers=name))
        for stage in layer_names(network)
        for name in stage
    }
    outputs: dict[Scorer, tuple[str, ...]] = dict.fromkeys(scorers.values(), Froq.spec.outputs)
    evaluated = evaluate_together(list(outputs), crops, outputs, {})
    return {
        name: evaluated[scorer].scores[scorer.output].double().cpu().numpy()
        for name, scorer in scorers.items()
    }


def _agreement(norms: Float64Array, quality: Float64Array) -> float:
    """Spearman's rho, both [N]; -1 where the norms order nothing."""
    rho = correlate_ranks(norms, quality)
    return -1.0 if rho is None else rho
