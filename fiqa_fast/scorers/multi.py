"""Several methods on one network, from one forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.scorers.crops import Crops
from fiqa_fast.scorers.evaluation import evaluate_together


class MultiScorer:
    """Methods that share a network's forward pass; their scores are those of each one alone.

    Args:
        scorers: made with one loaded network, each method once.

    Raises:
        InvalidArgumentError: no scorer, a method twice, or different networks.
    """

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        names = [scorer.spec.name for scorer in scorers]
        if not names or len(set(names)) < len(names):
            raise InvalidArgumentError(
                f"create_scorer: expected each method once, got {', '.join(names) or 'none'};"
                " a method's outputs come together from score_all"
            )
        if any(scorer.backbone is not scorers[0].backbone for scorer in scorers):
            raise InvalidArgumentError(
                "create_scorer: expected methods on one loaded network, got several networks;"
                " load it once with load_backbone"
            )
        self.scorers = tuple(scorers)

    def score(
        self, crops: Crops, *, noise: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Scores aligned crops with every method.

        Args:
            crops: as `Scorer.score` takes them.
            noise: explicit draws by name of the method, for those that have any.

        Returns:
            By name of the method, what `Scorer.score` returns.

        Raises:
            InvalidArgumentError: a wrong shape, dtype or noise.
        """
        outputs = {scorer: (scorer.output,) for scorer in self.scorers}
        scores = self._score(crops, outputs, noise)
        return {s.spec.name: scores[s.spec.name][s.output] for s in self.scorers}

    def score_all(
        self, crops: Crops, *, noise: Mapping[str, Tensor] | None = None
    ) -> dict[str, dict[str, Tensor]]:
        """As `score`, with every output of each method: name of the method, then of the output."""
        return self._score(crops, {s: s.spec.outputs for s in self.scorers}, noise)

    def _score(
        self,
        crops: Crops,
        outputs: Mapping[Scorer, Sequence[str]],
        noise: Mapping[str, Tensor] | None,
    ) -> dict[str, dict[str, Tensor]]:
        given = noise or {}
        strangers = given.keys() - {s.spec.name for s in self.scorers}
        if strangers:
            raise InvalidArgumentError(
                f"score: expected noise for {', '.join(s.spec.name for s in self.scorers)},"
                f" got some for {', '.join(sorted(strangers))}; use the methods' names"
            )
        draws = {s: given.get(s.spec.name) for s in self.scorers}
        evaluations = evaluate_together(self.scorers, crops, outputs, draws)
        return {s.spec.name: evaluations[s].scores for s in self.scorers}
