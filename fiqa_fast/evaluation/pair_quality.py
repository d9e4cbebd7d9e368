"""From the qualities of samples to the order in which comparisons are discarded.

Only order and ties of pair qualities count, so a comparison carries its *level*: the number of its
quality among the distinct ones, from the lowest. With the rule "min" that follows from the ranks
of the samples, without sorting any comparison: 20 million take a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import Float64Array

IndexArray = npt.NDArray[np.integer]
LevelArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]

PAIR_QUALITIES = ("min", "mean", "product")
MISSING = ("error", "lowest", "drop")
_NAMED = 5


@dataclass(frozen=True)
class PairLevels:
    """The qualities of comparisons, as levels.

    Attributes:
        level: int32 [N]: position in `value` of each comparison; -1 for one that has none and shall
            be left out.
        value: float64 [L]: the distinct pair qualities, ascending, higher is better; -inf for those
            with a sample that has no score. Some may belong to no comparison.
    """

    level: LevelArray
    value: Float64Array


def orient_scores(
    raw_scores: npt.ArrayLike,
    *,
    higher_is_better: bool,
    missing: str = "error",
    names: Sequence[str] = (),
) -> Float64Array:
    """Raw scores with the direction that the curves need: higher is better.

    Args:
        raw_scores: [S], of each sample; NaN where there is none.
        higher_is_better: their polarity.
        missing: what to do about samples without a score: "error"; "lowest": they are discarded
            first; "drop": comparisons with them are left out.
        names: of the samples, for the message.

    Returns:
        float64 [S]: finite, or -inf for "lowest" and NaN for "drop" where there is no score.

    Raises:
        InvalidArgumentError: a sample has no score and `missing` is "error"; not one-dimensional;
            an infinite score; an unknown rule.
    """
    if missing not in MISSING:
        raise InvalidArgumentError(
            f"evaluate: expected missing to be one of {', '.join(MISSING)}, got {missing!r};"
            " choose one of them"
        )
    scores = np.asarray(raw_scores, dtype=np.float64)
    if scores.ndim != 1:
        raise InvalidArgumentError(
            f"evaluate: expected quality scores of shape [S], got {list(scores.shape)};"
            " give one number for each sample"
        )
    infinite = np.flatnonzero(np.isinf(scores))
    if len(infinite):
        raise InvalidArgumentError(
            f"evaluate: expected finite quality scores, got an infinite one for"
            f" {_list_names(infinite, names)}; score these samples again"
        )
    absent = np.flatnonzero(np.isnan(scores))
    if len(absent) and missing == "error":
        raise InvalidArgumentError(
            f"evaluate: expected a quality score for each of the {len(scores)} samples, got none"
            f" for {len(absent)}: {_list_names(absent, names)}; score them, or say what shall"
            " happen: --missing lowest (discard them first) or --missing drop (leave them out)"
        )
    oriented = scores if higher_is_better else -scores
    return np.where(np.isnan(oriented), -np.inf, oriented) if missing == "lowest" else oriented


def pair_levels(
    quality: Float64Array, sample_a: IndexArray, sample_b: IndexArray, rule: str = "min"
) -> PairLevels:
    """Levels of comparisons by the qualities of their two samples.

    The usual rule is the minimum (P. Grother and E. Tabassi, IEEE TPAMI 29, 2007): the worse sample
    decides. Mean and product are of qualities scaled to 0..1 between the lowest and the highest of
    the samples, so that they have a meaning for scores of any range and sign.

    Args:
        quality: float64 [S], as `orient_scores` gives it.
        sample_a: integers [N]: positions in `quality`.
        sample_b: integers [N]: positions in `quality`.
        rule: "min", "mean" or "product".

    Raises:
        InvalidArgumentError: an unknown rule, or positions outside of `quality`.
    """
    if rule not in PAIR_QUALITIES:
        raise InvalidArgumentError(
            f"evaluate: expected pair_quality to be one of {', '.join(PAIR_QUALITIES)}, got"
            f" {rule!r}; min is usual"
        )
    _check_positions(sample_a, sample_b, len(quality))
    if rule == "min":
        value, rank = _rank(quality)
        return PairLevels(np.minimum(rank[sample_a], rank[sample_b]), value)
    scaled = _scale(quality)
    a, b = scaled[sample_a], scaled[sample_b]
    of_pair = (a + b) / 2 if rule == "mean" else a * b
    unscored = np.isneginf(quality)
    if unscored.any():
        of_pair[unscored[sample_a] | unscored[sample_b]] = -np.inf
    value, level = _rank(of_pair)
    return PairLevels(level, value)


def levels_of(pair_quality: npt.ArrayLike) -> PairLevels:
    """Levels of comparisons whose pair qualities are known.

    Args:
        pair_quality: [N], higher is better; NaN: the comparison is left out.
    """
    value, level = _rank(np.asarray(pair_quality, dtype=np.float64))
    return PairLevels(level, value)


def _rank(quality: Float64Array) -> tuple[Float64Array, LevelArray]:
    """Distinct values, ascending, and the position of each quality in them; NaN is -1."""
    # NaN sorts last and equals itself here, so it is the last of the distinct values.
    value, rank = np.unique(quality, return_inverse=True)
    level = rank.astype(np.int32)
    if len(value) and np.isnan(value[-1]):
        value = value[:-1]
        level[level == len(value)] = -1
    return value, level


def _scale(quality: Float64Array) -> Float64Array:
    """To 0..1 between the lowest and the highest finite quality; NaN stays, -inf becomes 0."""
    finite = np.isfinite(quality)
    low = quality[finite].min(initial=np.inf)
    span = quality[finite].max(initial=-np.inf) - low
    scaled = np.where(np.isnan(quality), np.nan, 0.0)
    scaled[finite] = (quality[finite] - low) / (span if span > 0 else 1)
    return scaled


def _check_positions(sample_a: IndexArray, sample_b: IndexArray, count: int) -> None:
    if sample_a.shape != sample_b.shape or sample_a.ndim != 1:
        raise InvalidArgumentError(
            "evaluate: expected sample_a and sample_b of the same shape [N], got"
            f" {list(sample_a.shape)} and {list(sample_b.shape)}; give two positions for each"
            " comparison"
        )
    for name, positions in (("sample_a", sample_a), ("sample_b", sample_b)):
        if len(positions) and not (positions.min() >= 0 and positions.max() < count):
            raise InvalidArgumentError(
                f"evaluate: expected {name} to hold positions from 0 to {count - 1}, got"
                f" {positions.min()} to {positions.max()}; give a quality score for each sample"
            )


def _list_names(positions: IndexArray, names: Sequence[str]) -> str:
    named = [names[p] if names else f"sample {p}" for p in positions[:_NAMED].tolist()]
    more = len(positions) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
