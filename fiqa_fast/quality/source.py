"""What made a raw score: everything that a calibration must agree with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fiqa_fast.scorers.base import Scorer

CALIBRATED_PRECISIONS = ("float32", "float64")
"""The precisions that a calibration holds for: their scores agree within the golden tolerances."""


@dataclass(frozen=True)
class ScoreSource:
    """One output of one method with its parameters, on one network.

    The names are those of the table's columns. Seed and device are left out: they are no part of
    what a score means.

    Attributes:
        scorer: registered name.
        output: name of the output.
        variant: "official" or "paper".
        parameters: the method's own parameters, as `parameters_text` writes them.
        backbone: registered name of the network.
        weights_sha256: digest of the network's weights.
        bn_statistics: where the network's BatchNorm statistics come from.
        higher_is_better: polarity of the raw scores.
    """

    scorer: str
    output: str
    variant: str
    parameters: str
    backbone: str
    weights_sha256: str
    bn_statistics: str
    higher_is_better: bool

    @property
    def name(self) -> str:
        """Scorer and output in words: "grafiqs b2", or the scorer alone for "score"."""
        return self.scorer if self.output == "score" else f"{self.scorer} {self.output}"


def source_of(scorer: Scorer, output: str) -> ScoreSource:
    """The source of the scores that a scorer gives for one of its outputs."""
    network = scorer.backbone
    return ScoreSource(
        scorer=scorer.spec.name,
        output=output,
        variant=scorer.variant,
        parameters=parameters_text(scorer.parameters),
        backbone=network.spec.name,
        weights_sha256=network.weights_sha256,
        bn_statistics=network.bn_statistics,
        higher_is_better=scorer.spec.higher_is_better,
    )


def parameters_text(parameters: Mapping[str, Any]) -> str:
    """Parameters as JSON with sorted keys; equal parameters give equal text.

    8 and 8.0 are equal. Parameters that are None, left to the method, do not appear: a method that
    gets a new option keeps its calibrations.
    """
    plain = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in parameters.items()
        if value is not None
    }
    return json.dumps(plain, sort_keys=True)
