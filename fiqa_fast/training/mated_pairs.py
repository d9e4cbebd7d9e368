"""The mated pairs of a repeat of label optimisation.

Every image meets one random image from each other cluster of its identity. The draws are keyed by
seed, repeat, image and cluster: they depend neither on the other images nor on the number of
threads. A pair is credited to its image of lower quality.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fiqa_fast import _extension
from fiqa_fast.evaluation.similarity import IndexArray
from fiqa_fast.noise import Stream, philox_4x32
from fiqa_fast.training.identity_clusters import ClusterArray
from fiqa_fast.training.identity_images import IdentityImages, IntArray
from fiqa_fast.types import Float32Array

CreditArray = npt.NDArray[np.uint32]

_IMAGES_AT_ONCE = 1 << 14
_WORD = 32


def compare_mated_pairs(
    images: IdentityImages,
    cluster: ClusterArray,
    clusters: int,
    quality_rank: CreditArray,
    *,
    seed: int,
    repeat: int,
    threads: int = 0,
) -> tuple[Float32Array, CreditArray]:
    """Draws the pairs of one repeat, compares and credits them.

    Products are summed in float32 in an order of their own, the same for every pair and any number
    of threads. Pairs come identity by identity, image by image, cluster by cluster.

    Args:
        images: by identity.
        cluster: uint16 [S], below `clusters`, from `cluster_identities`.
        clusters: for each identity.
        quality_rank: uint32 [S].
        seed: 0 <= seed < 2**63.
        repeat: 0 <= repeat < 2**32.
        threads: of the compiled code; 0: all the machine has.

    Returns:
        The cosine of each pair, float32 [P] in -1..1; its credited image, uint32 [P].
    """
    if _extension.host is not None:
        cosines, credited = _extension.host.compare_mated_pairs(
            images.embeddings,
            images.inverse_norm,
            images.rows,
            images.begins,
            cluster[images.rows],
            clusters,
            quality_rank,
            seed,
            Stream.MATED_PAIRS,
            repeat,
            threads,
        )
        return cosines, credited
    return compare_reference(images, cluster, clusters, quality_rank, seed, repeat)


def compare_reference(
    images: IdentityImages,
    cluster: ClusterArray,
    clusters: int,
    quality_rank: CreditArray,
    seed: int,
    repeat: int,
) -> tuple[Float32Array, CreditArray]:
    """The plain twin of the compiled comparison."""
    pairs = draw_pairs(images, cluster, clusters, seed=seed, repeat=repeat)
    cosines = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _IMAGES_AT_ONCE):
        a, b = pairs[start : start + _IMAGES_AT_ONCE].T
        products = np.vecdot(images.unit_rows(a), images.unit_rows(b))
        cosines[start : start + _IMAGES_AT_ONCE] = products.clip(-1, 1)
    return cosines, credit_pairs(pairs, quality_rank)


def draw_pairs(
    images: IdentityImages, cluster: ClusterArray, clusters: int, *, seed: int, repeat: int
) -> IntArray:
    """The pairs of one repeat.

    Args:
        images: by identity.
        cluster: uint16 [S], below `clusters`.
        clusters: for each identity.
        seed: 0 <= seed < 2**63.
        repeat: 0 <= repeat < 2**32.

    Returns:
        int64 [P, 2]: (image, partner), in the order of `compare_mated_pairs`.
    """
    blocks = images.blocks(_IMAGES_AT_ONCE)
    drawn = [_draw_block(images, cluster, clusters, seed, repeat, *block) for block in blocks]
    return np.concatenate(drawn)


def credit_pairs(pairs: IndexArray, quality_rank: CreditArray) -> CreditArray:
    """The image of each pair [P, 2] that has the lower quality, uint32 [P]."""
    a, b = pairs.T.astype(np.uint32)
    credited: CreditArray = np.where(quality_rank[a] < quality_rank[b], a, b)
    return credited


def _draw_block(
    images: IdentityImages,
    cluster: ClusterArray,
    clusters: int,
    seed: int,
    repeat: int,
    first: int,
    end: int,
) -> IntArray:
    begins = images.begins[first : end + 1]
    rows = images.rows[begins[0] : begins[-1]]
    person = np.repeat(np.arange(end - first), np.diff(begins))
    own = cluster[rows].astype(np.int64)
    group = person * clusters + own
    sizes = np.bincount(group, minlength=(end - first) * clusters)
    starts = np.cumsum(sizes) - sizes
    members = rows[np.argsort(group, kind="stable")]
    others = person[:, None] * clusters + np.arange(clusters)
    wanted = (sizes[others] > 0) & (np.arange(clusters) != own[:, None])
    image, of_cluster = np.nonzero(wanted)
    words = _words(seed, repeat, rows, clusters)[image, of_cluster]
    size = sizes[others[image, of_cluster]].astype(np.uint64)
    member = (words * size >> np.uint64(_WORD)).astype(np.int64)
    return np.stack([rows[image], members[starts[others[image, of_cluster]] + member]], 1)


def _words(seed: int, repeat: int, rows: IntArray, clusters: int) -> npt.NDArray[np.uint64]:
    """A random word for each image and cluster, [n, clusters]."""
    blocks = -(-clusters // 4)
    shape = (len(rows), blocks)
    counter = (
        np.broadcast_to(np.arange(blocks, dtype=np.uint64), shape),
        np.full(shape, Stream.MATED_PAIRS, np.uint64),
        np.broadcast_to(rows.astype(np.uint64)[:, None], shape),
        np.full(shape, repeat, np.uint64),
    )
    words = np.stack(philox_4x32(counter, (seed & 0xFFFFFFFF, seed >> _WORD)), -1)
    return words.reshape(len(rows), 4 * blocks)[:, :clusters]
