"""What made a number: everything a score needs to be traced, apart from the score itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.quality.source import ScoreSource, parameters_text
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.version import __version__


@dataclass(frozen=True)
class Provenance:
    """A method on a network, as it ran or will run; it travels with exported models and servers.

    The names are those of the table's columns.

    Attributes:
        scorer: registered name.
        outputs: names of what it gives, in the order of `raw_score`'s columns.
        default_output: the paper's choice among the method's outputs, or the user's.
        higher_is_better: polarity of the raw scores.
        backbone: registered name of the network.
        weights_sha256: digest of the network's weights file.
        bn_statistics: where the network's BatchNorm statistics come from.
        variant: "official" or "paper".
        parameters: the method's own, as `parameters_text` writes them.
        precision: the arithmetic.
        device: where it runs: "cpu", "cuda:0", ...
        engine: what runs it.
        seed: of the random draws; None for a method without any.
        version: of fiqa_fast.
    """

    scorer: str
    outputs: tuple[str, ...]
    default_output: str
    higher_is_better: bool
    backbone: str
    weights_sha256: str
    bn_statistics: str
    variant: str
    parameters: str
    precision: str
    device: str
    engine: str
    seed: int | None
    version: str

    def source(self, output: str) -> ScoreSource:
        """What a calibration for one of the outputs must agree with."""
        return ScoreSource(
            scorer=self.scorer,
            output=output,
            variant=self.variant,
            parameters=self.parameters,
            backbone=self.backbone,
            weights_sha256=self.weights_sha256,
            bn_statistics=self.bn_statistics,
            higher_is_better=self.higher_is_better,
        )

    def on(self, engine: str, device: str) -> Provenance:
        """The same scores, run by an engine on a device."""
        return replace(self, engine=engine, device=device)

    def to_json(self) -> str:
        """As JSON with sorted keys, on one line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """Reads what `to_json` wrote.

        Raises:
            InvalidArgumentError: the text is something else.
        """
        names = {field.name for field in fields(cls)}
        try:
            record: Any = json.loads(text)
        except ValueError:
            record = None
        if not isinstance(record, dict) or record.keys() != names:
            raise InvalidArgumentError(
                f"provenance: expected a JSON object with {', '.join(sorted(names))}, got"
                f" {text[:80]!r}; export the model again with this version"
            )
        return cls(**{**record, "outputs": tuple(record["outputs"])})


def provenance_of(scorer: Scorer) -> Provenance:
    """The provenance of a scorer's scores."""
    network = scorer.backbone
    return Provenance(
        scorer=scorer.spec.name,
        outputs=scorer.spec.outputs,
        default_output=scorer.output,
        higher_is_better=scorer.spec.higher_is_better,
        backbone=network.spec.name,
        weights_sha256=network.weights_sha256,
        bn_statistics=network.bn_statistics,
        variant=scorer.variant,
        parameters=parameters_text(scorer.parameters),
        precision=scorer.precision,
        device=scorer.device,
        engine=scorer.engine,
        seed=scorer.seed if scorer.spec.is_random else None,
        version=__version__,
    )
