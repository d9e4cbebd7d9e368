"""From a method's raw score to a quality of 0..100, higher is better.

A calibration is data: how a scorer's raw scores lie in a stated reference set. It holds for one
method, output, variant, set of parameters and network; for anything else there is no quality rather
than an invented one. This module finds the calibration that holds; `fiqa_fast.quality` makes, reads
and writes them, and all public names can be imported from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.quality.calibration import Calibration, DiscardThreshold
from fiqa_fast.quality.comparisons import Comparisons, read_comparisons
from fiqa_fast.quality.files import from_json, packaged_calibrations, read_calibrations, to_json
from fiqa_fast.quality.fit import fit_calibration
from fiqa_fast.quality.recommendation import DiscardTarget, recommend_discard
from fiqa_fast.quality.reference import ReferenceScores, read_score_table, split_sources
from fiqa_fast.quality.scales import Percentiles, Sigmoid, fit_percentiles, fit_sigmoid
from fiqa_fast.quality.source import (
    CALIBRATED_PRECISIONS,
    ScoreSource,
    parameters_text,
    source_of,
)
from fiqa_fast.scorers.base import Scorer

__all__ = [
    "Calibration",
    "Comparisons",
    "DiscardTarget",
    "DiscardThreshold",
    "Percentiles",
    "ReferenceScores",
    "ScoreSource",
    "Sigmoid",
    "find_calibration",
    "find_calibration_of",
    "fit_calibration",
    "fit_percentiles",
    "fit_sigmoid",
    "from_json",
    "packaged_calibrations",
    "parameters_text",
    "read_calibrations",
    "read_comparisons",
    "read_score_table",
    "recommend_discard",
    "source_of",
    "split_sources",
    "to_json",
]

_WORDS = {
    "backbone": "the network",
    "weights_sha256": "the weights",
    "variant": "the variant",
    "parameters": "the parameters",
    "bn_statistics": "the BatchNorm statistics",
    "higher_is_better": "a polarity (higher_is_better)",
}


def find_calibration(
    scorer: Scorer, output: str, given: Sequence[Calibration] = ()
) -> Calibration | str:
    """Looks up the calibration for one output of a scorer.

    Args:
        scorer: the method on its network.
        output: one of its outputs.
        given: the user's calibrations; they come before the packaged ones.

    Returns:
        The calibration; or, where none fits, the reason in words: what differs from the nearest.

    Raises:
        InvalidArgumentError: several of the given ones fit.
    """
    return find_calibration_of(source_of(scorer, output), scorer.precision, given)


def find_calibration_of(
    source: ScoreSource, precision: str, given: Sequence[Calibration] = ()
) -> Calibration | str:
    """As `find_calibration`, for scores that were made elsewhere, in a precision."""
    if precision not in CALIBRATED_PRECISIONS:
        return f"calibrations hold for {' and '.join(CALIBRATED_PRECISIONS)}, not for {precision}"
    fitting = [c for c in given if c.source == source]
    if len(fitting) > 1:
        raise InvalidArgumentError(
            f"calibration: expected one for {source.name}, got {len(fitting)} that fit;"
            " leave out the others"
        )
    fitting += [c for c in packaged_calibrations() if c.source == source]
    if fitting:
        return fitting[0]
    related = [
        c.source
        for c in (*given, *packaged_calibrations())
        if (c.source.scorer, c.source.output) == (source.scorer, source.output)
    ]
    if not related:
        return f"no calibration for {source.name}"
    differences = min((_list_differences(other, source) for other in related), key=len)
    return f"no calibration for {source.name} with {' and '.join(differences)}"


def _list_differences(other: ScoreSource, wanted: ScoreSource) -> list[str]:
    theirs, ours = asdict(other), asdict(wanted)
    return [
        f"{words} {_short(ours[name])} (the nearest has {_short(theirs[name])})"
        for name, words in _WORDS.items()
        if theirs[name] != ours[name]
    ]


def _short(value: object) -> str:
    text = str(value)
    is_digest = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return f"{text[:12]}..." if is_digest else text
