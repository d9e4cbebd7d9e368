"""What a data set's scores look like, without any comparison: distributions and agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.agreement import measure_agreement
from fiqa_fast.evaluation.classifiability import (
    Classifiability,
    describe_classifiability,
    measure_classifiability,
)
from fiqa_fast.evaluation.distributions import describe_distribution
from fiqa_fast.evaluation.inputs import MethodScores
from fiqa_fast.evaluation.label_change import describe_label_change
from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.evaluation.result import (
    AgreementRecord,
    DistributionRecord,
    EvaluationResult,
    LabelChangeRecord,
)
from fiqa_fast.evaluation.similarity import EmbeddingArray, IndexArray
from fiqa_fast.ranks import mean_ranks
from fiqa_fast.types import Float64Array

_RANK_DECIMALS = 5  # finer than any picture


@dataclass(frozen=True)
class ClassifiabilityByNetwork:
    """How well each network can classify the samples of a data set.

    Attributes:
        networks: CCS, NNCCS and CR, by the network's name.
        notes: what a reader must know of them.
    """

    networks: Mapping[str, Classifiability]
    notes: tuple[str, ...]


def describe_scores(
    data_set: str,
    methods: Sequence[MethodScores],
    classifiability: ClassifiabilityByNetwork | None = None,
) -> EvaluationResult:
    """Histograms of all methods, and how far each two order the samples alike.

    Args:
        data_set: its name.
        methods: scores of its samples; those without any score have no histogram.
        classifiability: of the same samples; adds histograms such as "CCS (sface)", and "CR
            (sface)" to the agreement.
    """
    scored = [method for method in methods if np.isfinite(method.raw_scores).any()]
    distributions = [
        describe_distribution(
            data_set, method.method, method.raw_scores, higher_is_better=method.higher_is_better
        )
        for method in scored
    ]
    names = [method.method for method in scored]
    qualities = [_oriented(method) for method in scored]
    notes: tuple[str, ...] = ()
    if classifiability is not None:
        notes = classifiability.notes
        for network, found in classifiability.networks.items():
            distributions += _of_network(data_set, network, found)
            names.append(f"CR ({network})")
            qualities.append(found.cr)
    agreements: tuple[AgreementRecord, ...] = ()
    if len(names) > 1:
        agreements = (measure_agreement(data_set, names, np.stack(qualities)),)
    return EvaluationResult(
        title="", notes=notes, distributions=tuple(distributions), agreements=agreements
    )


def require_identities(protocol: Protocol | TemplateProtocol) -> IndexArray:
    """Number of each sample's person.

    Raises:
        InvalidArgumentError: the protocol does not know its persons.
    """
    if isinstance(protocol, TemplateProtocol) or protocol.identity is None:
        raise InvalidArgumentError(
            "evaluate: expected a data set that names the person of each sample for CCS, NNCCS and"
            f" CR, got {protocol.name}, which does not; give a folder with a sub-folder for each"
            " person, or leave --classifiability out"
        )
    return protocol.identity


def measure_by_network(
    protocol: Protocol | TemplateProtocol, embeddings: Mapping[str, EmbeddingArray]
) -> ClassifiabilityByNetwork:
    """CCS, NNCCS and CR of a data set's samples, on each network.

    CR-FIQA takes the class weights that its network is trained with as centres. Here persons are
    others than in training, so that the centre is the mean of a person's embeddings.

    Args:
        protocol: with identities.
        embeddings: [S, D] by the network's name; NaN for a sample without one.

    Raises:
        InvalidArgumentError: the protocol does not know its persons, or has a single one; no
            embeddings.
    """
    identity = require_identities(protocol)
    if not embeddings:
        raise InvalidArgumentError(
            f"evaluate: expected embeddings of the samples of {protocol.name} for CCS, NNCCS and"
            " CR, got none; name a network (--verify) or a file (--embeddings)"
        )
    alone = int(np.count_nonzero(np.bincount(identity) == 1))
    notes: tuple[str, ...] = ()
    if alone:
        notes = (
            f"{protocol.name}: {alone:,} of {len(identity):,} samples are the only one of their"
            " person, hence their own class centre: their CCS is 1.",
        )
    return ClassifiabilityByNetwork(
        {name: measure_classifiability(rows, identity) for name, rows in embeddings.items()}, notes
    )


def compare_labels(
    data_set: str, methods: Sequence[MethodScores], before: str, after: str
) -> LabelChangeRecord:
    """What an optimisation of quality labels changed, for the scatter of its paper.

    Ž. Babnik et al., "Optimization-Based Improvement of Face Image Quality Assessment Techniques"
    (IWBF 2023).

    Args:
        data_set: its name.
        methods: scores of its samples.
        before, after: names of two of the methods.

    Raises:
        InvalidArgumentError: no such method, twice the same, or fewer than two samples that both
            scored.
    """
    by_name = {method.method: method for method in methods}
    for name in (before, after):
        if name not in by_name:
            raise InvalidArgumentError(
                f"evaluate: expected --compare-labels to name two of the methods"
                f" {', '.join(by_name) or '(none)'}, got {name!r}; take one of these"
            )
    if before == after:
        raise InvalidArgumentError(
            f"evaluate: expected --compare-labels to name two different methods, got {before!r}"
            " twice; name the labels before and after the optimisation"
        )
    original, optimised = _oriented(by_name[before]), _oriented(by_name[after])
    common = np.isfinite(original) & np.isfinite(optimised)
    original, optimised = original[common], optimised[common]
    if len(original) < 2:
        raise InvalidArgumentError(
            f"evaluate: expected two or more samples of {data_set} that both {before} and {after}"
            f" scored, got {len(original)}; score them by both"
        )
    change = describe_label_change(original, optimised)
    return LabelChangeRecord(
        data_set=data_set,
        before=before,
        after=after,
        count=len(original),
        moved_fraction=change.moved_fraction,
        spearman=change.spearman,
        before_rank=_scaled_ranks(original, change.drawn),
        after_rank=_scaled_ranks(optimised, change.drawn),
    )


def _oriented(method: MethodScores) -> Float64Array:
    return method.raw_scores if method.higher_is_better else -method.raw_scores


def _scaled_ranks(labels: Float64Array, samples: IndexArray) -> tuple[float, ...]:
    """Ranks of some samples among all, 0..1."""
    ranks = (mean_ranks(labels)[samples] - 1) / (len(labels) - 1)
    return tuple(ranks.round(_RANK_DECIMALS).tolist())


def _of_network(data_set: str, network: str, found: Classifiability) -> list[DistributionRecord]:
    return [
        replace(record, method=f"{record.method} ({network})")
        for record in describe_classifiability(data_set, found)
    ]
