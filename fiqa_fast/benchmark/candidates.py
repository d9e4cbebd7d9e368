"""The calls that are timed: this package's, and the official-style loop's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.benchmark import official_style
from fiqa_fast.benchmark.cases import ALL_OUTPUTS, Workload
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.scorers.multi import MultiScorer
from fiqa_fast.scorers.registry import create_scorer

FACES_OF_LOOP = 4
"""Faces in one run of the official-style loop; one where a single face takes long."""


@dataclass(frozen=True)
class Candidate:
    """A workload of this package.

    Attributes:
        score: scores crops, uint8 [B, 3, 112, 112].
        precision: that really runs.
        engine: that really runs.
    """

    score: Callable[[Tensor], object]
    precision: str
    engine: str


def make_candidate(workload: Workload, backbone: Backbone, engine: str) -> Candidate:
    """Makes the scorer of a workload; errors are those of `create_scorer`."""
    if len(workload.scorers) > 1:
        several = create_scorer(workload.scorers, backbone=backbone, engine=engine)
        return _candidate(several, several.score_all)
    options = dict(workload.options)
    everything = workload.output == ALL_OUTPUTS
    if not everything:
        options["output"] = workload.output
    scorer = create_scorer(workload.scorers[0], backbone=backbone, engine=engine, **options)
    return _candidate(scorer, scorer.score_all if everything else scorer.score)


def loop_faces(workload: Workload) -> int:
    """How many faces one run of `run_loop` should have."""
    return 1 if "faceqan" in workload.scorers else FACES_OF_LOOP


def run_loop(workload: Workload, backbone: Backbone, crops: Tensor) -> None:
    """Runs the official-style loops of a workload's methods one after the other."""
    for name in workload.scorers:
        if name == "grafiqs":
            official_style.grafiqs(backbone, crops)
        elif name == "faceqan":
            official_style.faceqan(backbone, crops, **workload.options)
        elif name == "ser-fiq":
            official_style.ser_fiq(backbone, crops, **workload.options)
        else:
            official_style.forward_only(backbone, crops)


def _candidate(scorer: Scorer | MultiScorer, score: Callable[[Tensor], object]) -> Candidate:
    first = scorer.scorers[0] if isinstance(scorer, MultiScorer) else scorer
    precision: str = getattr(first, "precision", first.backbone.precision)
    return Candidate(score, precision, first.engine)
