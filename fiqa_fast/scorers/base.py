"""What every quality method offers: its facts, and scores for aligned crops."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.crops import Crops, as_crop_tensor
from fiqa_fast.scorers.evaluation import evaluate_together, modes_of_scoring
from fiqa_fast.scorers.int8 import require_int8
from fiqa_fast.scorers.passes import Passes, resolve_engine
from fiqa_fast.types import CROP_SIZE_PX

VARIANTS = ("official", "paper")
PRECISIONS_OF_FORWARD_PASSES = ("float32", "float64", "bf16", "fp16", "int8")
"""Of methods that need the network's activations or embeddings only."""


@dataclass(frozen=True)
class ScorerSpec:
    """The facts of a method.

    Attributes:
        name: as `create_scorer` takes it.
        title: the method's name as its authors write it.
        paper: authors, title, venue.
        outputs: the quantities that `score_all` returns.
        default_output: the one that `score` returns, the paper's choice.
        higher_is_better: polarity of every output.
        needs: what the network must have ("BatchNorm statistics", "dropout", ...).
        is_random: whether it draws random numbers.
        variants: of VARIANTS, those that differ for this method; others give the same numbers.
        precisions: the arithmetic it is exact enough in.
        networks: names of the networks it was released on; () where it runs on any that has what
            it needs.
        weights: the files that its authors released, to be brought by the user; "" where it runs on
            any recognition network.
        licence: of those files.
        proof: what the numbers were compared with: "official" (numbers of the authors' own code or
            network), "twin" (independent code in the tests, from the paper), or "library" (an
            adapter: the numbers are those of the library).
        explains: the outputs that `explain` has maps for.
    """

    name: str
    title: str
    paper: str
    outputs: tuple[str, ...]
    default_output: str
    higher_is_better: bool
    needs: tuple[str, ...] = ()
    is_random: bool = False
    variants: tuple[str, ...] = VARIANTS
    precisions: tuple[str, ...] = ("float32", "float64", "bf16", "fp16")
    networks: tuple[str, ...] = ()
    weights: str = ""
    licence: str = ""
    proof: Literal["official", "twin", "library"] = "twin"
    explains: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScorerOptions:
    """The parameters of a method; each method that has any derives its own.

    Attributes:
        output: which of the method's outputs `score` returns; None: the paper's choice.
    """

    output: str | None = field(default=None, kw_only=True)


class NoiseSpec(NamedTuple):
    """The explicit draws that a random method takes for each crop.

    Attributes:
        shape: without the batch.
        dtype: of the numbers.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype


class CompiledGraph(Protocol):
    """A method that another engine than torch has compiled (`fiqa_fast.engines`).

    Attributes:
        engine: its name.
        precision: the arithmetic that runs.
        device: where it runs.
    """

    engine: str
    precision: str
    device: str

    def evaluate(
        self, crops: Tensor, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        """Scores crops, uint8 RGB [B, 3, 112, 112] -> [B] for each of the outputs."""
        ...


class Scorer(ABC):
    """A quality method on one recognition network.

    Scores of a crop do not depend on what else is scored with it: networks run in passes in which
    even the order of floating-point additions is the same (`passes.images_per_pass`), and random
    draws are keyed by the crop's own pixels.

    Args:
        backbone: the network, loaded for the wanted device and precision.
        options: the method's parameters.
        variant: "official" (what published tables used) or "paper".
        seed: of the random draws, 0 <= seed < 2**63; ignored by methods without any.
        engine: "torch" (fused operators), "reference" (plain layers and autograd), or "auto".

    Attributes:
        pass_engine: the one of the two that runs the network.
        graph: the method compiled by another engine, which then gives the scores; or None.

    Raises:
        InvalidArgumentError: a variant, output, seed or engine that does not exist, a precision in
            which the method is not exact enough, or int8 without activation ranges.
        UnavailableError: the engine cannot run the method on this network.
    """

    spec: ClassVar[ScorerSpec]
    options_type: ClassVar[type[ScorerOptions]] = ScorerOptions
    fills_forward_pass: ClassVar[bool] = False
    """Whether it runs the stages itself, and leaves the activations to those that come after it."""
    runs_fused: ClassVar[bool] = True
    """Whether it can do with a fused pass: methods that run the network themselves cannot."""

    def __init__(
        self,
        backbone: Backbone,
        options: ScorerOptions | None = None,
        *,
        variant: str = "official",
        seed: int = 0,
        engine: str = "auto",
    ) -> None:
        self.backbone = backbone
        self.options = self.options_type() if options is None else options
        self.variant = variant if self.spec.variants else "official"
        self.seed = seed
        name = self.spec.name
        if variant not in VARIANTS:
            raise InvalidArgumentError(
                f"{name}: expected variant to be official or paper, got {variant!r};"
                " official is what published tables used"
            )
        self.graph: CompiledGraph | None = None
        self.pass_engine = resolve_engine(name, backbone, engine, runs_fused=self.runs_fused)
        if backbone.precision not in self._precisions:
            raise InvalidArgumentError(
                f"{name}: expected precision to be one of {', '.join(self._precisions)},"
                f" got {backbone.precision!r}; the method loses its signal in that arithmetic"
            )
        if backbone.precision == "int8":
            require_int8(name, backbone, self.pass_engine)
        if not (isinstance(seed, int) and 0 <= seed < 2**63):
            raise InvalidArgumentError(
                f"{name}: expected a whole number 0 <= seed < 2**63, got {seed!r}; choose another"
            )
        if self.output not in self.spec.outputs:
            raise InvalidArgumentError(
                f"{name}: expected output to be one of {', '.join(self.spec.outputs)},"
                f" got {self.output!r}; leave it out for {self.spec.default_output}"
            )
        self._check_backbone()
        self._set_up()

    @property
    def engine(self) -> str:
        """What computes the scores."""
        return self.pass_engine if self.graph is None else self.graph.engine

    @property
    def precision(self) -> str:
        """The arithmetic of the scores."""
        return self.backbone.precision if self.graph is None else self.graph.precision

    @property
    def device(self) -> str:
        """Where the scores are computed: "cpu", "cuda:0", ..."""
        return str(self.backbone.device) if self.graph is None else self.graph.device

    @property
    def _precisions(self) -> tuple[str, ...]:
        """Those in which the method is exact enough, on its network and engine."""
        return self.spec.precisions

    @property
    def output(self) -> str:
        """The output that `score` returns."""
        return self.options.output or self.spec.default_output

    @property
    def parameters(self) -> dict[str, Any]:
        """The method's own parameters by name, without the choice of the output."""
        return {k: v for k, v in asdict(self.options).items() if k != "output"}

    def score(self, crops: Crops, *, noise: Tensor | None = None) -> Tensor:
        """Scores aligned crops.

        Args:
            crops: uint8 RGB: torch [B, 3, 112, 112] or numpy [B, 112, 112, 3]; B may be 0.
            noise: explicit random draws for a random method, see its class; None draws them from
                the seed and each crop's pixels.

        Returns:
            Raw scores, float32 [B] (float64 with precision "float64"), on the network's device;
            `spec.higher_is_better` tells the polarity.

        Raises:
            InvalidArgumentError: a wrong shape, dtype or noise.
        """
        return self._score(crops, (self.output,), noise)[self.output]

    def score_all(self, crops: Crops, *, noise: Tensor | None = None) -> dict[str, Tensor]:
        """Scores aligned crops with every output of the method, from one pass.

        Args and Raises are those of `score`.

        Returns:
            For each of `spec.outputs` what `score` would return for it.
        """
        return self._score(crops, self.spec.outputs, noise)

    def explain(
        self,
        crops: Crops,
        *,
        outputs: Sequence[str] | None = None,
        noise: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Maps where on the faces the scores come from; the class says what its maps show.

        Args:
            crops: as `score` takes them, at least one.
            outputs: those to map, of `spec.explains`; None: all of them.
            noise: as `score` takes it; the same draws give the map of that score.

        Returns:
            For each output a map of non-negative numbers, float32 [B, h, w] (float64 with precision
            "float64"), on the network's device. It covers the whole input of the network
            (`backbone.spec.input.fitted(crops)`), but may be coarser.

        Raises:
            InvalidArgumentError: a method without maps, an output without one, no crop, or a wrong
                shape, dtype or noise.
        """
        wanted = self.spec.explains if outputs is None else tuple(outputs)
        if self.spec.explains and not set(wanted) <= set(self.spec.explains):
            raise InvalidArgumentError(
                f"{self.spec.name}: expected outputs to explain to be among"
                f" {', '.join(self.spec.explains)}, got {', '.join(wanted)};"
                " the others have no map"
            )
        batch = self.backbone.spec.input.fitted(as_crop_tensor(crops, CROP_SIZE_PX))
        self._check_noise(noise, len(batch))
        if not len(batch):
            raise InvalidArgumentError(
                f"{self.spec.name}: expected one crop or more to explain, got none; leave the call"
                " out where there is no face"
            )
        parts = []
        passes = Passes(self.backbone, self.pass_engine, batch)
        with modes_of_scoring(self.backbone.device):
            for forward, chunk in passes:
                draws = None if noise is None else passes.filled(noise[chunk])
                maps = self._explain(forward, wanted, draws)
                parts.append({o: maps[o][: chunk.stop - chunk.start] for o in wanted})
        return {output: torch.cat([part[output] for part in parts]) for output in wanted}

    def _score(
        self, crops: Crops, outputs: Sequence[str], noise: Tensor | None
    ) -> dict[str, Tensor]:
        return evaluate_together([self], crops, {self: outputs}, {self: noise})[self].scores

    def _check_backbone(self) -> None:  # noqa: B027 (most methods need nothing special)
        """Raises InvalidArgumentError unless the network has what the method needs."""

    def _set_up(self) -> None:  # noqa: B027
        """Loads what the method needs beside the network (another network, a library)."""

    @property
    def noise_spec(self) -> NoiseSpec | None:
        """The draws that `score(noise=...)` takes for each crop; None: the method draws nothing."""
        return None

    def draw_noise(self, crops: Tensor) -> Tensor:
        """The draws that stand for no noise: keyed by the seed and each crop's pixels.

        Args:
            crops: uint8 RGB [B, 3, H, W], in the network's input size.

        Returns:
            [B, *noise_spec.shape] of `noise_spec.dtype`.
        """
        raise InvalidArgumentError(
            f"{self.spec.name}: expected a random method to draw noise for; this one draws nothing"
        )

    def why_no_graph(self) -> str:
        """Why an engine cannot run the method as a static graph; "" where it can."""
        return ""

    def evaluate_batch(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        """Scores a pass without looking at how many crops it has: what a graph is traced from.

        Args:
            forward: a pass of B crops through the plain layers.
            outputs: the quantities wanted.
            noise: explicit draws for all of them, where the method takes any.

        Returns:
            For each output [B].
        """
        return self._evaluate(forward, outputs, noise)

    def _check_noise(self, noise: Tensor | None, batch_size: int) -> None:
        """Raises InvalidArgumentError unless `noise` fits; random methods extend this."""
        if noise is not None:
            raise InvalidArgumentError(
                f"{self.spec.name}: expected no noise, since the method draws nothing at random;"
                " leave it out"
            )

    @abstractmethod
    def _evaluate(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        """Scores the n crops of a pass -> [n] each."""

    def _explain(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        """Maps the crops of a pass -> [n, h, w] each; methods with `spec.explains` override it."""
        raise explains_nothing([self.spec.name])


def explains_nothing(names: Sequence[str]) -> InvalidArgumentError:
    """The error for methods (or outputs) that have no map."""
    return InvalidArgumentError(
        f"explain: expected a method that can explain its scores, got {', '.join(names)};"
        " `fiqa-fast models` says which can, and for which outputs"
    )


def require_embedding(scorer: Scorer) -> None:
    """Raises InvalidArgumentError unless the scorer's network gives an embedding."""
    spec = scorer.backbone.spec
    if not spec.embedding_size:
        raise InvalidArgumentError(
            f"{scorer.spec.name}: expected a network that gives an embedding, got {spec.name},"
            " which has none; choose a recognition network"
        )


def working(x: Tensor) -> Tensor:
    """x in the precision of scores: float64 stays, everything else becomes float32."""
    return x if x.dtype == torch.float64 else x.float()
