"""Evaluations while a network learns, as a command names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.cli.evaluation_job import EMBEDDINGS
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.embeddings import compute_embeddings
from fiqa_fast.evaluation.inputs import Verification
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.evaluation.protocols.catalogue import load_protocol
from fiqa_fast.evaluation.protocols.checks import check_both_classes
from fiqa_fast.evaluation.similarity import cosine_of_pairs
from fiqa_fast.training.edc_hook import EdcHook
from fiqa_fast.training.loop import Hook
from fiqa_fast.training.network import QualityNetwork


def open_protocols(
    data_sets: Sequence[str], folder: Path | None, *, aligned: bool | None
) -> list[Protocol]:
    """The data sets of --evaluate.

    Raises:
        InvalidArgumentError: one cannot be read, has no images, compares templates, or has mated or
            non-mated comparisons only.
    """
    protocols = []
    for name in data_sets:
        protocol = load_protocol(name, folder, aligned=aligned)
        if not isinstance(protocol, Protocol) or len(protocol.sources) != len(protocol.samples):
            raise InvalidArgumentError(
                f"train: expected --evaluate to name a data set of single images, got {name}, which"
                " compares templates or is without images; name another one"
            )
        check_both_classes(protocol.mated, protocol.name)
        protocols.append(protocol)
    return protocols


def make_hooks(
    protocols: Sequence[Protocol],
    networks: Mapping[str, Backbone],
    fmr: float,
    out: Path,
    console: Console,
) -> Callable[[QualityNetwork], Sequence[Hook]]:
    """Makes the evaluations of a network in training.

    Args:
        protocols: the data sets.
        networks: that compare the samples, by label; none: the network in training does.
        fmr: that decides the threshold.
        out: the training's folder, where the networks' embeddings are kept.
        console: for messages.
    """
    verifications: list[list[Verification]] = []
    for protocol in protocols:
        of_protocol = []
        for label, network in networks.items():
            console.print(f"embedding {protocol.name} by {label}")
            found = compute_embeddings(
                protocol, network, augmentation="none", cache_folder=out / EMBEDDINGS
            )
            scores = cosine_of_pairs(found.embeddings, protocol.sample_a, protocol.sample_b)
            of_protocol.append(Verification(label, scores))
        verifications.append(of_protocol)
    return lambda network: [
        EdcHook(network, protocol, verifications=given, fmr=fmr)
        for protocol, given in zip(protocols, verifications, strict=True)
    ]
