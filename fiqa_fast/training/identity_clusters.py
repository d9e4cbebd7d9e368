"""K-means within each identity: groups of images that show a person alike.

Lloyd's iterations on L2-normalised embeddings, until no image changes its cluster. First centres
are found by k-means++ (D. Arthur and S. Vassilvitskii, "k-means++: The Advantages of Careful
Seeding", SODA 2007; each next centre is the best of 2 + ln k drawn ones, as in scikit-learn), or
are images drawn at random. An identity with fewer images than clusters gets a cluster for each;
where images are the same there are fewer clusters than asked for. A cluster that loses all its
images gets the one that is farthest from its centre.

Draws are keyed by the seed and the identity, so an identity's clusters do not depend on the others
or on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from fiqa_fast import _extension
from fiqa_fast.noise import Stream, philox_4x32
from fiqa_fast.training.identity_images import IdentityImages
from fiqa_fast.types import Float32Array

ClusterArray = npt.NDArray[np.uint16]
FirstCentres = Literal["k-means++", "random"]

_ITERATIONS = 300  # at most, as in scikit-learn
_SAME_SQUARED = np.float32(1e-6)  # unit vectors nearer than this count as the same
_IMAGES_AT_ONCE = 1 << 15


def cluster_identities(
    images: IdentityImages,
    clusters: int,
    first_centres: FirstCentres,
    *,
    seed: int = 0,
    threads: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> ClusterArray:
    """Groups the images of each identity.

    Args:
        images: by identity.
        clusters: for each identity, 1 to 65535.
        first_centres: where the iterations start.
        seed: 0 <= seed < 2**63.
        threads: of the compiled code; 0: all the machine has.
        on_progress: called with the number of identities that are done.

    Returns:
        uint16 [S]: each image's cluster, a number within its identity.
    """
    labels = np.empty(len(images.rows), np.uint16)
    for first, end in images.blocks(_IMAGES_AT_ONCE):
        begins = images.begins[first : end + 1]
        rows = images.rows[begins[0] : begins[-1]]
        if _extension.host is not None:
            labels[rows] = _extension.host.cluster_identities(
                images.embeddings,
                images.inverse_norm,
                rows,
                begins - begins[0],
                np.arange(first, end, dtype=np.uint64),
                clusters,
                first_centres == "k-means++",
                seed,
                Stream.IDENTITY_CLUSTERS,
                _ITERATIONS,
                threads,
            )
        else:
            for person in range(first, end):
                of_person = images.rows[images.begins[person] : images.begins[person + 1]]
                units = images.unit_rows(of_person)
                labels[of_person] = cluster_reference(units, clusters, first_centres, seed, person)
        if on_progress is not None:
            on_progress(end)
    return labels


def cluster_reference(
    units: Float32Array, clusters: int, first_centres: FirstCentres, seed: int, identity: int
) -> ClusterArray:
    """The plain twin of the compiled K-means, for one identity.

    Args:
        units: float32 [n, D], L2-normalised.
        clusters: k; at most n are used.
        first_centres: where the iterations start.
        seed: of the draws.
        identity: its number, the key of its draws.

    Returns:
        uint16 [n].
    """
    most = min(clusters, len(units))
    choose = _plus_plus if first_centres == "k-means++" else _random_images
    centres = units[choose(units, most, seed, identity)]
    labels = np.full(len(units), -1)
    for _ in range(_ITERATIONS):
        closeness = units @ centres.T - np.vecdot(centres, centres) / 2
        nearest = closeness.argmax(1)
        _fill_empty(nearest, closeness.max(1), len(centres))
        if np.array_equal(nearest, labels):
            break
        labels = nearest
        member = (labels[:, None] == np.arange(len(centres))).astype(np.float32)
        sizes = member.sum(0)
        used = sizes > 0
        centres[used] = (member.T @ units)[used] / sizes[used, None]
    return labels.astype(np.uint16)


def _words(seed: int, identity: int, count: int) -> npt.NDArray[np.uint64]:
    """The first random words of an identity."""
    number = np.arange(-(-count // 4), dtype=np.uint64)
    low, high = (np.full_like(number, word) for word in (identity & 0xFFFFFFFF, identity >> 32))
    counter = (number, np.full_like(number, Stream.IDENTITY_CLUSTERS), low, high)
    return np.stack(philox_4x32(counter, (seed & 0xFFFFFFFF, seed >> 32)), -1).ravel()[:count]


def _random_images(
    units: Float32Array, most: int, seed: int, identity: int
) -> npt.NDArray[np.int64]:
    return np.argsort(_words(seed, identity, len(units)), kind="stable")[:most]


def _plus_plus(units: Float32Array, most: int, seed: int, identity: int) -> npt.NDArray[np.int64]:
    trials = 2 + int(math.log(most))
    words = _words(seed, identity, 1 + trials * most)
    chosen = [int(words[0]) * len(units) >> 32]
    nearest = _squared(units, units[chosen])[:, 0]
    while len(chosen) < most:
        cumulative = np.cumsum(nearest, dtype=np.float64)
        if cumulative[-1] == 0:
            break  # every image is the same as one of the centres
        first = 1 + (len(chosen) - 1) * trials
        targets = words[first : first + trials].astype(np.float64) * 2.0**-32 * cumulative[-1]
        candidates = np.searchsorted(cumulative, targets, side="right").clip(max=len(units) - 1)
        left = np.minimum(nearest[:, None], _squared(units, units[candidates]))
        best = int(left.sum(0, dtype=np.float64).argmin())
        nearest = left[:, best]
        chosen.append(int(candidates[best]))
    return np.array(chosen)


def _squared(units: Float32Array, others: Float32Array) -> Float32Array:
    squared: Float32Array = 2 - 2 * (units @ others.T)
    squared[squared < _SAME_SQUARED] = 0
    return squared


def _fill_empty(nearest: npt.NDArray[np.int64], closeness: Float32Array, count: int) -> None:
    sizes = np.bincount(nearest, minlength=count)
    for empty in np.flatnonzero(sizes == 0):
        movable = (sizes[nearest] > 1) & (1 - 2 * closeness >= _SAME_SQUARED)
        if not movable.any():
            return
        farthest = int(np.where(movable, closeness, np.inf).argmin())
        sizes[nearest[farthest]] -= 1
        sizes[empty] += 1
        nearest[farthest] = empty
        closeness[farthest] = 0.5
