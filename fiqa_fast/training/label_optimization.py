"""Label optimisation: quality labels in an order that agrees better with comparison scores.

Ž. Babnik, N. Damer and V. Štruc, "Optimization-Based Improvement of Face Image Quality Assessment
Techniques", IWBF 2023. Images are clustered within each identity, and mated pairs drawn across
clusters. Where a pair stands among all pairs by its comparison score is credited to its image of
lower quality, whose rank moves a little towards it. In the end the original labels are handed out
in the new order, so their distribution stays.

Identities are gone through one after the other, on embeddings that may be a memory map. Results are
the same to the bit for any number of threads and after any interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.similarity import (
    EmbeddingArray,
    IndexArray,
    check_positions,
    cosine_of_pairs,
    list_positions,
)
from fiqa_fast.training.draws import check_seed
from fiqa_fast.training.identity_clusters import cluster_identities
from fiqa_fast.training.identity_images import IntArray, group_by_identity
from fiqa_fast.training.label_progress import LabelProgress, digest
from fiqa_fast.training.mated_pairs import CreditArray, compare_mated_pairs, credit_pairs
from fiqa_fast.training.pair_ranks import credited_index_sums
from fiqa_fast.types import Float64Array

Variant = Literal["official", "paper"]
IndexScale = Literal["pairs", "samples"]
OnProgress = Callable[[str, int, int], None]

_MOST_CLUSTERS = 65535
_LENGTHS = (
    "label optimisation: expected quality and embeddings of one length, got {} and {}; give both"
    " for each image, in the same order"
)


@dataclass(frozen=True)
class OptimisedLabels:
    """Labels in their new order.

    Attributes:
        quality: float64 [S]: the original labels, handed out anew.
        mean_index: float64 [S]: what the images were sorted by, the mean over the repeats of the
            left side of Eq. 3.
        pair_counts: how many pairs each repeat had.
    """

    quality: Float64Array
    mean_index: Float64Array
    pair_counts: tuple[int, ...]


def optimise_labels(
    quality: npt.ArrayLike,
    embeddings: EmbeddingArray,
    identity: IndexArray,
    *,
    clusters: int = 20,
    theta: float = 0.001,
    repeats: int = 10,
    seed: int = 0,
    variant: Variant = "official",
    index_scale: IndexScale = "pairs",
    threads: int | None = None,
    checkpoint_folder: Path | None = None,
    on_progress: OnProgress | None = None,
) -> OptimisedLabels:
    """Optimises the quality labels of a data set.

    An image without a partner, as where its identity has no other, keeps its rank as its index.

    Args:
        quality: [S], finite, higher is better. Of equal labels the earlier counts as the lower.
        embeddings: float32 or float16 [S, D], finite, of any norm above 0; may be a memory map.
        identity: integers [S], 0 to I - 1, each at least once.
        clusters: C, for each identity, 2 or more; at most one for each image is used.
        theta: of Eq. 3, 0 to 1: how far a rank moves towards the mean index of its pairs.
        repeats: R, how often pairs are drawn, 1 or more.
        seed: of clusters and pairs, 0 <= seed < 2**63.
        variant: "official": K-means starts with k-means++, as in the authors' code; "paper": from
            images drawn at random, as the paper says.
        index_scale: "pairs": pairs are numbered from 0 to P - 1, as in the authors' code, so the
            credits lie above the ranks of S images; "samples": from 0 to S - 1, as those ranks.
        threads: of the compiled code; None: all the machine has.
        checkpoint_folder: progress is kept there after clustering and after every repeat; a call
            with the same arguments goes on from it.
        on_progress: called with "clusters" and the number of identities done and of all; and with
            "repeats", of repeats.

    Returns:
        The same labels in another order.

    Raises:
        InvalidArgumentError: wrong shapes, lengths, dtypes or ranges; labels or embeddings that are
            not finite, an embedding of zeros, identities without an image, no two images of one
            identity.
        ResultsError: the folder holds progress of other settings or other data, or is damaged.
    """
    labels = _checked_labels(quality)
    _check_settings(clusters, repeats, variant, threads)
    _check_formula(theta, index_scale)
    check_seed(seed)
    if len(labels) != len(embeddings):
        raise InvalidArgumentError(_LENGTHS.format(len(labels), len(embeddings)))
    images = group_by_identity(embeddings, np.asarray(identity))
    if images.identities == len(labels):
        raise InvalidArgumentError(
            "label optimisation: expected identities with two or more images, got"
            f" {images.identities} with one; give identity numbers that images share"
        )
    workers = threads or 0
    report = on_progress or _report_nothing
    rank = quality_ranks(labels)
    settings = {
        "clusters": clusters,
        "theta": theta,
        "repeats": repeats,
        "seed": seed,
        "variant": variant,
        "index_scale": index_scale,
        "quality": digest(labels),
        "identity": digest(np.concatenate([images.rows, images.begins])),
        "embeddings": digest(images.norms),  # tells other embeddings at the cost of their norms
    }
    progress = LabelProgress(checkpoint_folder, settings, len(labels))
    if progress.cluster is None:
        progress.cluster = cluster_identities(
            images,
            clusters,
            "k-means++" if variant == "official" else "random",
            seed=seed,
            threads=workers,
            on_progress=lambda done: report("clusters", done, images.identities),
        )
        progress.save()
    report("repeats", len(progress.pair_counts), repeats)
    for repeat in range(len(progress.pair_counts), repeats):
        cosines, credited = compare_mated_pairs(
            images, progress.cluster, clusters, rank, seed=seed, repeat=repeat, threads=workers
        )
        sums, counts = credited_index_sums(cosines, credited, len(labels), threads=workers)
        scale = _scale(index_scale, len(labels), len(cosines))
        progress.index_sum += moved_index(rank, sums, counts, theta, scale)
        progress.pair_counts.append(len(cosines))
        progress.save()
        report("repeats", repeat + 1, repeats)
    mean_index = progress.index_sum / repeats
    return OptimisedLabels(reordered(labels, mean_index), mean_index, tuple(progress.pair_counts))


def optimise_with_pairs(
    quality: npt.ArrayLike,
    embeddings: EmbeddingArray,
    pairs: Iterable[IndexArray],
    *,
    theta: float = 0.001,
    index_scale: IndexScale = "pairs",
) -> OptimisedLabels:
    """Optimises quality labels by pairs that were drawn elsewhere.

    Args:
        quality: [S], finite, higher is better. Of equal labels the earlier counts as the lower.
        embeddings: float32 or float16 [S, D], finite, of any norm above 0; may be a memory map.
        pairs: for each repeat integers [P, 2], positions of two different images of one identity.
            Of the same pair in the same order all but the first are left out.
        theta: as in `optimise_labels`.
        index_scale: as in `optimise_labels`.

    Raises:
        InvalidArgumentError: wrong shapes, lengths, dtypes or ranges; labels or embeddings that are
            not finite; no repeat.
    """
    labels = _checked_labels(quality)
    _check_formula(theta, index_scale)
    if len(labels) != len(embeddings):
        raise InvalidArgumentError(_LENGTHS.format(len(labels), len(embeddings)))
    images = group_by_identity(embeddings, np.zeros(len(labels), np.int64))
    rank = quality_ranks(labels)
    index_sum, pair_counts = np.zeros(len(labels)), []
    for repeat in pairs:
        kept = _distinct_pairs(np.asarray(repeat), len(labels))
        cosines = cosine_of_pairs(images.embeddings, kept[:, 0], kept[:, 1])
        credited = credit_pairs(kept, rank)
        sums, counts = credited_index_sums(cosines, credited, len(labels))
        index_sum += moved_index(
            rank, sums, counts, theta, _scale(index_scale, len(labels), len(kept))
        )
        pair_counts.append(len(kept))
    if not pair_counts:
        raise InvalidArgumentError(
            "label optimisation: expected pairs of one repeat or more, got none; give an array"
            " [P, 2] for each repeat"
        )
    mean_index = index_sum / len(pair_counts)
    return OptimisedLabels(reordered(labels, mean_index), mean_index, tuple(pair_counts))


def quality_ranks(quality: Float64Array) -> CreditArray:
    """0-based ranks of labels, ascending, equal ones in their order; uint32 [S]."""
    ranks = np.empty(len(quality), np.uint32)
    ranks[np.argsort(quality, kind="stable")] = np.arange(len(quality), dtype=np.uint32)
    return ranks


def moved_index(
    rank: CreditArray, sums: IntArray, counts: IntArray, theta: float, scale: float = 1.0
) -> Float64Array:
    """Eq. 3 of the paper: idx_q + theta (mean idx_s - idx_q).

    Args:
        rank: uint32 [S]: idx_q, an image's rank by quality.
        sums: int64 [S]: sum of idx_s over its pairs, from `credited_index_sums`.
        counts: int64 [S]: how many these are; an image without a pair keeps its rank.
        theta: how far to move.
        scale: what every idx_s is multiplied with.

    Returns:
        float64 [S].
    """
    index = rank.astype(np.float64)
    paired = counts > 0
    mean = sums[paired] / counts[paired] * scale
    index[paired] += theta * (mean - index[paired])
    return index


def reordered(quality: Float64Array, index: Float64Array) -> Float64Array:
    """The same labels, ascending in the order of an index [S], equal ones in their order."""
    changed = np.empty_like(quality)
    changed[np.argsort(index, kind="stable")] = np.sort(quality)
    return changed


def _scale(index_scale: IndexScale, images: int, pairs: int) -> float:
    return (images - 1) / max(pairs - 1, 1) if index_scale == "samples" else 1.0


def _distinct_pairs(pairs: IndexArray, images: int) -> IntArray:
    """Without those that are there before, in their order."""
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise InvalidArgumentError(
            f"label optimisation: expected pairs of shape [P, 2], got {list(pairs.shape)}; give two"
            " positions for each pair"
        )
    check_positions("pairs", pairs.reshape(-1), images)
    wide = pairs.astype(np.int64)
    itself = np.flatnonzero(wide[:, 0] == wide[:, 1])
    if len(itself):
        raise InvalidArgumentError(
            "label optimisation: expected pairs of two different images, got an image with itself"
            f" in {list_positions(itself, 'pair')}; leave them out"
        )
    _, first = np.unique(wide[:, 0] * images + wide[:, 1], return_index=True)
    distinct: IntArray = wide[np.sort(first)]
    return distinct


def _checked_labels(quality: npt.ArrayLike) -> Float64Array:
    labels = np.asarray(quality, np.float64)
    if labels.ndim != 1 or not len(labels):
        raise InvalidArgumentError(
            f"label optimisation: expected quality of shape [S], S > 0, got {list(labels.shape)};"
            " give a label for each image"
        )
    wrong = np.flatnonzero(~np.isfinite(labels))
    if len(wrong):
        raise InvalidArgumentError(
            f"label optimisation: expected finite quality labels, got {labels[wrong[0]]} for"
            f" {list_positions(wrong)}; leave these images out"
        )
    return labels


def _check_settings(clusters: int, repeats: int, variant: Variant, threads: int | None) -> None:
    if not 2 <= clusters <= _MOST_CLUSTERS:
        raise InvalidArgumentError(
            f"label optimisation: expected clusters from 2 to {_MOST_CLUSTERS}, got {clusters};"
            " pairs are drawn across clusters, 20 in the paper"
        )
    if not 1 <= repeats < 2**32:
        raise InvalidArgumentError(
            f"label optimisation: expected repeats of 1 or more, got {repeats}; 10 in the paper"
        )
    if variant not in ("official", "paper"):
        raise InvalidArgumentError(
            f"label optimisation: expected variant official or paper, got {variant!r}; choose one"
        )
    if threads is not None and threads < 1:
        raise InvalidArgumentError(
            f"label optimisation: expected threads of 1 or more, got {threads}; None takes all"
        )


def _check_formula(theta: float, index_scale: IndexScale) -> None:
    if not 0 <= theta <= 1:
        raise InvalidArgumentError(
            f"label optimisation: expected theta from 0 to 1, got {theta}; .001 in the paper"
        )
    if index_scale not in ("pairs", "samples"):
        raise InvalidArgumentError(
            f"label optimisation: expected index_scale pairs or samples, got {index_scale!r};"
            " choose one"
        )


def _report_nothing(step: str, done: int, total: int) -> None:
    """Where nobody listens."""
