"""`scorer.json` in a version folder: how the scorer of a model is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fiqa_fast.provenance import Provenance, provenance_of
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.scorers.registry import create_scorer

NAME = "scorer.json"


@dataclass(frozen=True)
class ScorerFile:
    """The arguments of `create_scorer`, for the model that stands beside the file.

    Attributes:
        scorer: registered name.
        network: registered name; None: what the weights hold, or the method's default.
        weights: name of a file in the same folder; None: the packaged weights.
        variant: "official" or "paper".
        precision: the arithmetic; never "auto", since the configuration promises one.
        engine: what runs it; never "auto".
        seed: of the random draws.
        options: the method's parameters.
        outputs: what the model gives, in the order of the columns of `raw_score`.
        threads: of the CPU that one instance works with.
        stands_in: runs on a CPU in the place of a GPU, which config.pbtxt promises.
    """

    scorer: str
    network: str | None
    weights: str | None
    variant: str
    precision: str
    engine: str
    seed: int
    options: dict[str, Any]
    outputs: tuple[str, ...]
    threads: int
    stands_in: bool = False

    def load(self, folder: Path, device: str) -> Scorer:
        """Makes the scorer.

        Args:
            folder: where its weights lie.
            device: "cpu" or "cuda:N".

        Raises:
            FiqaError: as `create_scorer`.
        """
        return create_scorer(
            self.scorer,
            backbone=self.network,
            weights=None if self.weights is None else folder / self.weights,
            variant=self.variant,
            precision=self.precision,
            device=device,
            engine=self.engine,
            seed=self.seed,
            **self.options,
        )

    def provenance(self, scorer: Scorer) -> Provenance:
        """The provenance of the scorer's scores, as the model gives them."""
        return replace(provenance_of(scorer), outputs=self.outputs)
