"""Label optimisation written down plainly: loops over identities, images, clusters and pairs.

What benchmarks compare with. K-means and pairs follow the paper's rules; draws are numpy's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ITERATIONS = 300


def optimise_plainly(
    quality: NDArray[np.float64],
    embeddings: NDArray[np.floating],
    identity: NDArray[np.integer],
    *,
    clusters: int,
    theta: float,
    repeats: int,
) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    units = embeddings.astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    rank = np.argsort(np.argsort(quality, kind="stable"))
    members: list[list[NDArray[np.int64]]] = []
    for person in range(identity.max() + 1):
        rows = np.flatnonzero(identity == person)
        labels = cluster(units[rows], min(clusters, len(rows)), rng)
        members.append([rows[labels == c] for c in range(clusters) if (labels == c).any()])
    total = np.zeros(len(quality))
    for _ in range(repeats):
        pairs = []
        for groups in members:
            for own, group in enumerate(groups):
                for image in group:
                    for other, partners in enumerate(groups):
                        if other != own:
                            partner = partners[rng.integers(len(partners))]
                            pairs.append((units[image] @ units[partner], image, partner))
        pairs.sort(key=lambda pair: pair[0])
        places: dict[int, list[int]] = {}
        for index, (_, image, partner) in enumerate(pairs):
            lower = image if quality[image] < quality[partner] else partner
            places.setdefault(lower, []).append(index)
        for image in range(len(quality)):
            index = rank[image]
            if image in places:
                index = index + theta * (np.mean(places[image]) - index)
            total[image] += index
    changed = np.empty_like(quality)
    changed[np.argsort(total / repeats, kind="stable")] = np.sort(quality)
    return changed


def cluster(units: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """K-means with k-means++."""
    centres = units[rng.integers(len(units), size=1)]
    while len(centres) < count:
        distances = (2 - 2 * units @ centres.T).min(1).clip(0).astype(np.float64)
        if distances.sum() == 0:
            break
        drawn = rng.choice(len(units), p=distances / distances.sum())
        centres = np.concatenate([centres, units[drawn : drawn + 1]])
    labels = np.full(len(units), -1)
    for _ in range(ITERATIONS):
        nearest = (units @ centres.T - (centres**2).sum(1) / 2).argmax(1)
        if (nearest == labels).all():
            break
        labels = nearest
        for c in np.unique(labels):
            centres[c] = units[labels == c].mean(0)
    return labels
