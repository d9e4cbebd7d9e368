"""Evaluates quality methods on templates: as weights of their images, and by discarding them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fiqa_fast.evaluation.inputs import (
    GIVEN_SCORES,
    EvaluationSettings,
    MethodScores,
    Verification,
)
from fiqa_fast.evaluation.pair_quality import orient_scores
from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.evaluation.result import EvaluationResult, TemplateRecord
from fiqa_fast.evaluation.run import Progress, evaluate_protocol, ignore_progress
from fiqa_fast.evaluation.similarity import EmbeddingArray, cosine_of_pairs
from fiqa_fast.evaluation.templates import (
    image_weights,
    lowest_quality,
    pool_templates,
    verify_templates,
)
from fiqa_fast.types import Float64Array


def evaluate_templates(
    protocol: TemplateProtocol,
    methods: Sequence[MethodScores],
    embeddings: Mapping[str, EmbeddingArray],
    settings: EvaluationSettings,
    progress: Progress = ignore_progress,
) -> EvaluationResult:
    """TAR at FAR with images weighted by each method, and EDC curves by the lowest quality.

    The protocol of CR-FIQA on IJB-C. Curves discard comparisons of templates, each of which has the
    quality of its worst image; their templates are pooled without weights.

    Args:
        protocol: which samples form templates, which templates are compared.
        methods: scores of the samples.
        embeddings: for each verification network, float [S, D], of image plus mirror image; NaN for
            samples without one.
        settings: what is computed.
        progress: is told what is being computed.

    Raises:
        InvalidArgumentError: as `evaluate_protocol`; or a template without any usable image, unless
            `settings.missing` is "drop".
    """
    records: list[TemplateRecord] = []
    verifications: list[Verification] = []
    notes: list[str] = []
    qualities = {m.method: _oriented(m, protocol, settings) for m in methods}
    for network, of_network in embeddings.items():
        for method in (None, *methods):
            weighting = method.method if method is not None else ""
            progress(f"{protocol.name}: {network}, weighted by {weighting or 'nothing'}")
            weights = None if method is None else image_weights(qualities[weighting])
            pooled = pool_templates(
                of_network,
                protocol.template_sample,
                protocol.template_of,
                protocol.media_of,
                len(protocol.templates),
                weights,
            )
            scores = cosine_of_pairs(pooled, protocol.template_a, protocol.template_b)
            if method is None:
                verifications.append(Verification(network, scores))
            verified = verify_templates(scores, protocol.mated)
            notes += [w for w in verified.warnings if w not in notes]
            records.append(
                TemplateRecord(
                    data_set=protocol.name,
                    verification_network=network,
                    weighting=weighting,
                    template_count=len(protocol.templates),
                    mated_count=verified.mated_count,
                    non_mated_count=verified.non_mated_count,
                    tar_at_far=verified.tar_at_far,
                )
            )
    if protocol.comparison_scores is not None:
        verifications.append(Verification(GIVEN_SCORES, protocol.comparison_scores))
    curves = evaluate_protocol(
        _of_templates(protocol),
        [_of_worst_images(m, qualities[m.method], protocol) for m in methods],
        verifications,
        settings,
        progress,
    )
    return replace(curves, notes=(*notes, *curves.notes), templates=tuple(records))


def _oriented(
    method: MethodScores, protocol: TemplateProtocol, settings: EvaluationSettings
) -> Float64Array:
    return orient_scores(
        method.raw_scores,
        higher_is_better=method.higher_is_better,
        missing=settings.missing,
        names=protocol.samples,
    )


def _of_templates(protocol: TemplateProtocol) -> Protocol:
    """Templates as the samples that are compared."""
    return Protocol(
        name=protocol.name,
        samples=protocol.templates,
        sources=(),
        aligned=protocol.aligned,
        identity=None,
        sample_a=protocol.template_a,
        sample_b=protocol.template_b,
        mated=protocol.mated,
    )


def _of_worst_images(
    method: MethodScores, quality: Float64Array, protocol: TemplateProtocol
) -> MethodScores:
    lowest = lowest_quality(
        quality, protocol.template_sample, protocol.template_of, len(protocol.templates)
    )
    # Without any image that has a score, a template is treated as a sample without one.
    lowest[lowest == -float("inf")] = float("nan")
    return replace(method, raw_scores=lowest, higher_is_better=True)
