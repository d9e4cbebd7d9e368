"""Where mated pairs stand among all pairs by their comparison scores, summed for each image."""

from __future__ import annotations

import numpy as np

from fiqa_fast import _extension
from fiqa_fast.training.identity_images import IntArray
from fiqa_fast.training.mated_pairs import CreditArray
from fiqa_fast.types import Float32Array


def credited_index_sums(
    cosines: Float32Array, credited: CreditArray, images: int, *, threads: int = 0
) -> tuple[IntArray, IntArray]:
    """Sums of the places of each image's credited pairs.

    A pair's place is its 0-based index among all pairs, sorted by ascending cosine; equal ones keep
    their order. 16 bytes are needed for each pair, beside the arguments.

    Args:
        cosines: float32 [P], no NaN.
        credited: uint32 [P]: the image that each pair is credited to.
        images: how many there are.
        threads: of the compiled code; 0: all the machine has.

    Returns:
        int64 [images]: the sums; int64 [images]: how many pairs each image is credited with.
    """
    if _extension.host is not None:
        sums, counts = _extension.host.credited_index_sums(cosines, credited, images, threads)
        return sums, counts
    return index_sums_reference(cosines, credited, images)


def index_sums_reference(
    cosines: Float32Array, credited: CreditArray, images: int
) -> tuple[IntArray, IntArray]:
    """The plain twin of the compiled sums."""
    sums = np.zeros(images, np.int64)
    np.add.at(sums, credited[np.argsort(cosines, kind="stable")], np.arange(len(cosines)))
    return sums, np.bincount(credited, minlength=images)
