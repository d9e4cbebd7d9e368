"""Ranking strips: samples at evenly spaced ranks of a method's quality, as FaceQAN's paper shows.

Ž. Babnik et al., "FaceQAN: Face Image Quality Assessment Through Adversarial Noise Exploration"
(ICPR 2022).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.similarity import IndexArray, check_positions
from fiqa_fast.types import Float64Array

Positions = npt.NDArray[np.int64]


def pick_ranked(quality: Float64Array, count: int) -> Positions:
    """Samples at evenly spaced quality ranks, from the lowest quality to the highest.

    Args:
        quality: float64 [S], higher is better; samples that are NaN or -inf have none and are not
            picked. Equal qualities keep the order of the samples.
        count: how many to pick, 2 or more; the first and the last are the extremes.

    Returns:
        int64 [count]: positions in `quality`; fewer where there are not so many samples.

    Raises:
        InvalidArgumentError: a wrong shape, +inf, or count < 2.
    """
    _check(quality, count)
    return _pick(quality, np.flatnonzero(np.isfinite(quality)), count)


def pick_ranked_by_identity(
    quality: Float64Array, identity: IndexArray, count: int
) -> dict[int, Positions]:
    """As `pick_ranked`, among the samples of each person.

    Args:
        quality: float64 [S], as of `pick_ranked`.
        identity: integers [S]: number of each sample's person, 0 or above.
        count: how many to pick for each person, 2 or more.

    Returns:
        For each person with a quality, ascending by number, positions in `quality`.

    Raises:
        InvalidArgumentError: as `pick_ranked`, or a wrong identity.
    """
    _check(quality, count)
    check_positions("identity", identity, np.iinfo(np.int64).max)
    if identity.shape != quality.shape:
        raise InvalidArgumentError(
            f"evaluate: expected identity of shape {list(quality.shape)}, got"
            f" {list(identity.shape)}; give a number for each sample's person"
        )
    scored = np.flatnonzero(np.isfinite(quality))
    by_person = scored[np.argsort(identity[scored], kind="stable")]
    persons, starts = np.unique(identity[by_person], return_index=True)
    groups = np.split(by_person, starts[1:])
    return {
        int(person): _pick(quality, group, count)
        for person, group in zip(persons, groups, strict=False)
    }


def _pick(quality: Float64Array, samples: Positions, count: int) -> Positions:
    ranked = samples[np.argsort(quality[samples], kind="stable")]
    if len(ranked) <= count:
        return ranked
    # Integers: the middle of an even number of samples is the same on every machine.
    steps = count - 1
    return ranked[(np.arange(count) * (len(ranked) - 1) + steps // 2) // steps]


def _check(quality: Float64Array, count: int) -> None:
    if quality.ndim != 1 or np.isposinf(quality).any():
        raise InvalidArgumentError(
            "evaluate: expected quality scores of shape [S] without +inf, got shape"
            f" {list(quality.shape)} with {int(np.isposinf(quality).sum())} of +inf; give one"
            " finite number, or NaN, for each sample"
        )
    if count < 2:
        raise InvalidArgumentError(
            f"evaluate: expected count to be 2 or more, got {count}; a strip shows both extremes"
        )
