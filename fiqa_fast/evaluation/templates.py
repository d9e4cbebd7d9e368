"""Template verification: sets of samples of one person each, pooled into one embedding.

The protocol is that of IJB-C with the weights of CR-FIQA (F. Boutros et al., "CR-FIQA: Face Image
Quality Assessment by Learning Sample Relative Classifiability", CVPR 2023): embeddings, each the
sum of an image's and its mirror image's, times their weights; mean over the images of a medium
(frames of one video are one medium), sum over the media of a template, L2 norm 1. The mean divides
by the number of images and not by the sum of their weights, so that a medium of low quality counts
less than one of high quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.group_sums import sum_groups
from fiqa_fast.evaluation.similarity import (
    EmbeddingArray,
    IndexArray,
    check_positions,
    list_positions,
)
from fiqa_fast.quality.discard import describe_resolution, find_decision_threshold
from fiqa_fast.types import Float32Array, Float64Array

BoolArray = npt.NDArray[np.bool_]

FARS = (1e-4, 1e-5, 1e-6)


@dataclass(frozen=True)
class TemplateVerification:
    """How many mated template comparisons are accepted at given false accept rates.

    Attributes:
        tar_at_far: for each FAR, as text such as "0.0001", the TAR.
        decision_thresholds: for each FAR the lowest threshold that keeps to it.
        mated_count, non_mated_count: comparisons.
        warnings: what limits the figures, in words.
    """

    tar_at_far: Mapping[str, float]
    decision_thresholds: Mapping[str, float]
    mated_count: int
    non_mated_count: int
    warnings: tuple[str, ...]


def image_weights(quality: Float64Array) -> Float64Array:
    """Qualities scaled to 0..1 between the lowest and the highest of the data set.

    Args:
        quality: float64 [S], as `fiqa_fast.evaluation.pair_quality.orient_scores` gives it: higher
            is better; -inf for an image without a score that shall weigh nothing, NaN for one that
            shall be left out.

    Returns:
        float64 [S]: 0..1; 0 for -inf; NaN where the quality is. All 1 where all finite qualities
        are equal, which is pooling without weights.

    Raises:
        InvalidArgumentError: no finite quality, one of +inf, or a wrong shape.
    """
    if quality.ndim != 1 or np.isposinf(quality).any() or not np.isfinite(quality).any():
        raise InvalidArgumentError(
            "evaluate: expected quality scores of shape [S], finite ones among them and none of"
            f" +inf, got shape {list(quality.shape)} with {int(np.isfinite(quality).sum())} finite"
            f" and {int(np.isposinf(quality).sum())} of +inf; score the images again"
        )
    finite = quality[np.isfinite(quality)]
    low, span = finite.min(), np.ptp(finite)
    scaled = (quality - low) / span if span > 0 else np.where(np.isfinite(quality), 1.0, quality)
    return np.where(np.isneginf(quality), 0.0, scaled)


def pool_templates(
    embeddings: EmbeddingArray,
    template_sample: IndexArray,
    template_of: IndexArray,
    media_of: IndexArray,
    template_count: int,
    weights: Float64Array | None = None,
) -> Float32Array:
    """One embedding for each template.

    Args:
        embeddings: float32 or float16 [S, D], of each sample, mirror image added; may be a memory
            map. NaN is allowed for samples whose weight is 0 or NaN.
        template_sample: integers [M]: positions in `embeddings`.
        template_of: integers [M]: the template of each entry.
        media_of: integers [M], 0 or above: the medium of each entry; media of different templates
            are different, whatever their numbers.
        template_count: number of templates.
        weights: float64 [S], 0 or above, as of `image_weights`; NaN: the image is left out, as if
            it were not in the template. None: all weigh 1.

    Returns:
        float32 [template_count, D] of norm 1; NaN for a template in which nothing weighs anything.
        `fiqa_fast.evaluation.similarity.cosine_of_pairs` gives the comparison scores.

    Raises:
        InvalidArgumentError: wrong shapes, dtypes or positions, a negative or infinite weight, an
            image with a weight and without an embedding.
    """
    weights = np.ones(len(embeddings)) if weights is None else weights
    _check_entries(template_sample, template_of, media_of, len(embeddings), template_count)
    _check_weights(weights, len(embeddings))
    order = np.lexsort((media_of, template_of))
    order = order[~np.isnan(weights[template_sample[order]])]
    sample, template, medium = template_sample[order], template_of[order], media_of[order]
    coefficients = weights[sample] / _image_counts(template, medium)
    weighty = coefficients > 0  # the others add nothing, and their embeddings may be NaN
    sample, template = sample[weighty], template[weighty]
    ends = np.searchsorted(template, np.arange(template_count), side="right")
    sums = sum_groups(embeddings, sample, ends, coefficients[weighty])
    _check_sums(sums, embeddings, sample)
    norms = np.linalg.norm(sums.astype(np.float64), axis=1)
    norms[norms == 0] = np.nan
    np.divide(sums, norms[:, None], out=sums, casting="same_kind")
    return sums


def lowest_quality(
    quality: Float64Array,
    template_sample: IndexArray,
    template_of: IndexArray,
    template_count: int,
) -> Float64Array:
    """The quality of a template: the lowest of its images.

    Args:
        quality: float64 [S], as `orient_scores` gives it; NaN: the image is left out.
        template_sample: integers [M]: positions in `quality`.
        template_of: integers [M]: the template of each entry.
        template_count: number of templates.

    Returns:
        float64 [template_count]; NaN for a template without any image that has a quality.

    Raises:
        InvalidArgumentError: wrong shapes, dtypes or positions.
    """
    _check_entries(template_sample, template_of, template_of, len(quality), template_count)
    lowest = np.full(template_count, np.nan)
    np.fmin.at(lowest, template_of, quality[template_sample])
    return lowest


def verify_templates(
    comparison_scores: npt.NDArray[np.floating], mated: BoolArray, fars: Sequence[float] = FARS
) -> TemplateVerification:
    """The true accept rate at each false accept rate, with exact thresholds.

    Args:
        comparison_scores: floats [N], higher is more alike; NaN where a template has no embedding:
            such a comparison counts, and is never accepted.
        mated: bool [N].
        fars: each 0 < far < 1.

    Raises:
        InvalidArgumentError: wrong shapes or rates, +inf, or no mated or no non-mated comparison.
    """
    if comparison_scores.ndim != 1 or comparison_scores.shape != mated.shape:
        raise InvalidArgumentError(
            "evaluate: expected comparison_scores and mated of the same shape [N], got"
            f" {list(comparison_scores.shape)} and {list(mated.shape)}; give both for each"
            " comparison"
        )
    if mated.dtype != np.bool_ or not mated.any() or mated.all():
        raise InvalidArgumentError(
            f"evaluate: expected mated to be bool, with mated and non-mated comparisons, got"
            f" {mated.dtype} with {np.count_nonzero(mated)} mated ones of {len(mated)}; the"
            " threshold needs non-mated ones, the TAR mated ones"
        )
    if not fars or not all(0 < far < 1 for far in fars):
        raise InvalidArgumentError(
            f"evaluate: expected one or more FARs, each 0 < far < 1, got {list(fars)}; give rates"
            " such as 0.0001"
        )
    if np.isposinf(comparison_scores).any():
        raise InvalidArgumentError(
            "evaluate: expected comparison_scores to be finite or NaN, got +inf; compare the"
            " templates again"
        )
    absent = np.isnan(comparison_scores)
    scores = np.where(absent, np.asarray(-np.inf, comparison_scores.dtype), comparison_scores)
    non_mated, accepted = scores[~mated], scores[mated]
    names = [f"{far:g}" for far in fars]
    # Typed, since a plain number would be rounded to float32 scores: down to the refused one.
    thresholds = [np.float64(find_decision_threshold(non_mated, far)) for far in fars]
    warnings = [w for far in fars if (w := describe_resolution(len(non_mated), far))]
    if absent.any():
        warnings.append(
            f"{int(absent.sum())} comparisons have a template without an embedding: never accepted"
        )
    return TemplateVerification(
        tar_at_far={
            name: float(np.mean(accepted >= threshold))
            for name, threshold in zip(names, thresholds, strict=True)
        },
        decision_thresholds=dict(zip(names, map(float, thresholds), strict=True)),
        mated_count=len(accepted),
        non_mated_count=len(non_mated),
        warnings=tuple(warnings),
    )


def _image_counts(template: IndexArray, medium: IndexArray) -> IndexArray:
    """For each entry how many have its template and medium; these stand beside each other."""
    if not len(template):
        return template
    is_first = np.ones(len(template), np.bool_)
    is_first[1:] = (template[1:] != template[:-1]) | (medium[1:] != medium[:-1])
    counts = np.diff(np.append(np.flatnonzero(is_first), len(template)))
    return np.repeat(counts, counts)


def _check_entries(
    template_sample: IndexArray,
    template_of: IndexArray,
    media_of: IndexArray,
    sample_count: int,
    template_count: int,
) -> None:
    if not template_sample.shape == template_of.shape == media_of.shape:
        raise InvalidArgumentError(
            "evaluate: expected template_sample, template_of and media_of of the same shape [M],"
            f" got {list(template_sample.shape)}, {list(template_of.shape)} and"
            f" {list(media_of.shape)}; give all three for each entry"
        )
    check_positions("template_sample", template_sample, sample_count)
    check_positions("template_of", template_of, template_count)
    check_positions("media_of", media_of, np.iinfo(np.int64).max)


def _check_weights(weights: Float64Array, count: int) -> None:
    if weights.shape != (count,):
        raise InvalidArgumentError(
            f"evaluate: expected weights of shape [{count}], got {list(weights.shape)}; give one"
            " for each sample"
        )
    wrong = np.flatnonzero((weights < 0) | np.isinf(weights))
    if len(wrong):
        raise InvalidArgumentError(
            f"evaluate: expected weights that are finite and not negative, got {weights[wrong[0]]}"
            f" for {list_positions(wrong, 'sample')}; scale qualities with image_weights"
        )


def _check_sums(sums: Float32Array, embeddings: EmbeddingArray, sample: IndexArray) -> None:
    """Names the samples without an embedding, which are sought only where a sum shows them."""
    if np.isfinite(sums).all():
        return
    used = np.unique(sample)
    wrong = used[[not np.isfinite(embeddings[position]).all() for position in used]]
    raise InvalidArgumentError(
        "evaluate: expected a finite embedding for each image with a weight, got none for"
        f" {list_positions(wrong, 'sample')}; embed them, or give them the weight NaN to leave them"
        " out"
    )
