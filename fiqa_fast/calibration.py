"""From a method's raw score to a quality of 0..100, higher is better.

A calibration is data: the distribution of a scorer's raw scores over a stated reference set. The
quality of a face is the percentage of reference faces that it beats. It holds for one scorer,
output, variant, set of parameters and network; for anything else there is no quality rather than an
invented one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.base import Scorer

_CALIBRATED_PRECISIONS = ("float32", "float64")
_KNOTS = 101


@dataclass(frozen=True)
class Calibration:
    """Percentiles of a scorer's raw scores over a reference set.

    Attributes:
        scorer: registered name; with `output`, `variant`, `parameters`, `backbone` and
            `weights_sha256` it tells which scores the calibration is for.
        output: name of the output.
        variant: "official" or "paper".
        parameters: the method's parameters, by name.
        backbone: registered name of the network.
        weights_sha256: digest of the network's weights.
        higher_is_better: polarity of the raw scores.
        reference_set: what the faces were, in words, with their number.
        raw_scores: ascending; the 0th, 1st, ... 100th percentile of the raw scores.
    """

    scorer: str
    output: str
    variant: str
    parameters: Mapping[str, Any]
    backbone: str
    weights_sha256: str
    higher_is_better: bool
    reference_set: str
    raw_scores: tuple[float, ...]

    def quality(self, raw_score: float) -> float:
        """The percentage of reference faces that a raw score beats: 0..100, higher is better."""
        percent = float(np.interp(raw_score, self.raw_scores, np.linspace(0, 100, _KNOTS)))
        return percent if self.higher_is_better else 100 - percent


def fit_percentiles(
    scorer: Scorer, output: str, raw_scores: Sequence[float], reference_set: str
) -> Calibration:
    """Builds a calibration from the raw scores of a reference set.

    Args:
        scorer: what made the scores, in float32 or float64.
        output: which of its outputs they are.
        raw_scores: one for each reference face, at least two, all finite.
        reference_set: what the faces are, in words.

    Raises:
        InvalidArgumentError: too few scores, or some are not finite.
    """
    values = np.asarray(raw_scores, dtype=np.float64)
    if values.size < 2 or not np.isfinite(values).all():
        raise InvalidArgumentError(
            f"calibration: expected at least 2 finite raw_scores, got {values.size} of which"
            f" {int(np.isfinite(values).sum())} are finite; leave out faces without a score"
        )
    knots = np.percentile(values, np.linspace(0, 100, _KNOTS))
    return Calibration(
        scorer=scorer.spec.name,
        output=output,
        variant=scorer.variant,
        parameters=scorer.parameters,
        backbone=scorer.backbone.spec.name,
        weights_sha256=scorer.backbone.weights_sha256,
        higher_is_better=scorer.spec.higher_is_better,
        reference_set=f"{reference_set} ({values.size} faces)",
        raw_scores=tuple(float(f"{knot:.6g}") for knot in knots),
    )


def find_calibration(scorer: Scorer, output: str) -> Calibration | str:
    """Looks up the packaged calibration for one output of a scorer.

    Returns:
        The calibration; or, where none fits, the reason in words.
    """
    network = scorer.backbone
    if network.precision not in _CALIBRATED_PRECISIONS:
        return f"calibrated for float32 only, not for {network.precision}"
    named = [
        c
        for c in packaged_calibrations()
        if (c.scorer, c.output, c.backbone) == (scorer.spec.name, output, network.spec.name)
    ]
    if not named:
        return f"no calibration for {scorer.spec.name} on {network.spec.name}"
    named = [c for c in named if c.weights_sha256 == network.weights_sha256]
    if not named:
        return f"no calibration for these weights of {network.spec.name}"
    named = [c for c in named if c.variant == scorer.variant]
    if not named:
        return f"no calibration for the variant {scorer.variant}"
    named = [c for c in named if dict(c.parameters) == scorer.parameters]
    return named[0] if named else f"no calibration for the parameters {scorer.parameters}"


@cache
def packaged_calibrations() -> tuple[Calibration, ...]:
    """Every calibration that comes with the package."""
    folder = resources.files("fiqa_fast") / "calibrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    return tuple(c for file in files for c in from_json(file.read_text(encoding="utf-8")))


def to_json(calibrations: Sequence[Calibration]) -> str:
    """Writes calibrations as a JSON list, one to a line."""
    lines = (json.dumps(asdict(c)) for c in calibrations)
    return "[\n" + ",\n".join(lines) + "\n]\n"


def from_json(text: str) -> list[Calibration]:
    """Reads what `to_json` wrote.

    Raises:
        InvalidArgumentError: not a list of calibrations.
    """
    try:
        entries = json.loads(text)
        return [Calibration(**{**e, "raw_scores": tuple(e["raw_scores"])}) for e in entries]
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidArgumentError(
            f"calibration: expected a JSON list of calibrations, got {type(error).__name__}:"
            f" {error}; make the file with `to_json`"
        ) from error
