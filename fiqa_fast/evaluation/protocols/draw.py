"""Comparisons drawn from identities, without making all pairs: 3 million images have 5e12."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import BoolArray, IndexArray

MATED_PER_IDENTITY = 100
NON_MATED = 1_000_000
Int64Array = npt.NDArray[np.int64]


def draw_comparisons(
    identity: IndexArray,
    *,
    mated_per_identity: int = MATED_PER_IDENTITY,
    non_mated: int = NON_MATED,
    seed: int = 0,
) -> tuple[IndexArray, IndexArray, BoolArray]:
    """Draws mated and non-mated pairs at random, none of them twice.

    Pairs are numbered, numbers are drawn, and a number says which pair it is: memory and time grow
    with the pairs that are wanted and with the samples, not with the pairs there are.

    Args:
        identity: int32 [S]: number of each sample's person.
        mated_per_identity: of an identity with more mated pairs than this, so many are drawn.
        non_mated: how many non-mated pairs are drawn; all of them where there are fewer.
        seed: of the draws.

    Returns:
        sample_a, sample_b: int32 [N], and mated: bool [N]; the mated pairs first.

    Raises:
        InvalidArgumentError: a number below 0, or mated_per_identity below 1.
    """
    if mated_per_identity < 1 or non_mated < 0 or seed < 0:
        raise InvalidArgumentError(
            "protocol: expected mated_per_identity >= 1, non_mated >= 0 and seed >= 0, got"
            f" {mated_per_identity}, {non_mated} and {seed}; the defaults are"
            f" {MATED_PER_IDENTITY}, {NON_MATED} and 0"
        )
    generator = np.random.default_rng(seed)
    order = np.argsort(identity, kind="stable")  # samples of one identity in a row
    in_order = identity[order]
    starts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]][: len(identity)])
    sizes = np.diff(np.r_[starts, len(identity)]).astype(np.int64)
    ends = np.repeat(starts + sizes, sizes)  # of each sample's identity, in that order
    mated = _draw_mated(generator, starts, sizes, ends, mated_per_identity)
    partners = len(identity) - ends  # the non-mated ones behind each sample
    drawn = _distinct(generator, int(partners.sum()), non_mated)
    other = _pairs(drawn, partners, ends)
    first, second = (np.concatenate(both) for both in zip(mated, other, strict=True))
    is_mated = np.arange(len(first)) < len(mated[0])
    return order[first].astype(np.int32), order[second].astype(np.int32), is_mated


def _draw_mated(
    generator: np.random.Generator,
    starts: Int64Array,
    sizes: Int64Array,
    ends: Int64Array,
    limit: int,
) -> tuple[Int64Array, Int64Array]:
    """Mated pairs, as positions in the order of the identities."""
    positions = np.arange(len(ends))
    partners = ends - positions - 1  # the mated ones behind each sample
    is_small = np.repeat(sizes * (sizes - 1) // 2 <= limit, sizes)
    all_of_small = np.where(is_small, partners, 0)
    first, second = _pairs(np.arange(all_of_small.sum()), all_of_small, positions + 1)
    firsts, seconds = [first], [second]
    for i in np.flatnonzero(sizes * (sizes - 1) // 2 > limit):
        own = slice(starts[i], starts[i] + sizes[i])
        drawn = _distinct(generator, int(sizes[i] * (sizes[i] - 1) // 2), limit)
        first, second = _pairs(drawn, partners[own], positions[own] + 1)
        firsts.append(first + starts[i])
        seconds.append(second)
    return np.concatenate(firsts), np.concatenate(seconds)


def _pairs(
    numbers: Int64Array, partners: Int64Array, first_partner: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """The pairs with the given numbers, where sample i has partners[i] from first_partner[i] on."""
    last = np.cumsum(partners)
    sample = np.searchsorted(last, numbers, side="right")
    return sample, first_partner[sample] + numbers - (last[sample] - partners[sample])


def _distinct(generator: np.random.Generator, total: int, count: int) -> Int64Array:
    """`count` different numbers below `total`, ascending; all of them where there are fewer.

    numpy's own choice without replacement needs room for all of `total` in most cases.
    """
    if count >= total:
        return np.arange(total)
    if count > total // 2:
        is_drawn = np.ones(total, np.bool_)
        is_drawn[_distinct(generator, total, total - count)] = False
        return np.flatnonzero(is_drawn)
    drawn = np.empty(0, np.int64)
    while len(drawn) < count:
        missing = count - len(drawn)
        more = generator.integers(total, size=missing + missing // 8 + 8)
        drawn = np.unique(np.concatenate([drawn, more]))
    # Any of them are as likely as any others, so that leaving some out at random is fair.
    left_out = generator.permutation(len(drawn))[: len(drawn) - count]
    return np.delete(drawn, left_out)
