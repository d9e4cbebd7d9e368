"""The methods by name, and how one is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, overload

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.registry import DEFAULT_BACKBONE, READY_BACKBONES, load_backbone
from fiqa_fast.engines.scoring import GRAPH_ENGINES, compile_scorer, why_no_engine
from fiqa_fast.errors import InvalidArgumentError, UnavailableError, WeightsError
from fiqa_fast.fused.network import why_not_fusable
from fiqa_fast.precision import fastest_precision
from fiqa_fast.scorers.base import Scorer, ScorerSpec
from fiqa_fast.scorers.cr_fiqa import CrFiqa
from fiqa_fast.scorers.diffiqa import DifFIQA
from fiqa_fast.scorers.diffiqa_r import DifFiqaR
from fiqa_fast.scorers.ediffiqa import EDifFiqa
from fiqa_fast.scorers.embedding_norm import EmbeddingNorm
from fiqa_fast.scorers.faceqan import FaceQAN
from fiqa_fast.scorers.faceqnet import FaceQnet
from fiqa_fast.scorers.froq import Froq
from fiqa_fast.scorers.grafiqs import GraFIQs
from fiqa_fast.scorers.iqa import Brisque, DeepIqa, RankIqa
from fiqa_fast.scorers.label_regressor import LabelRegressor
from fiqa_fast.scorers.lightqnet import LightQNet
from fiqa_fast.scorers.magface import MagFace
from fiqa_fast.scorers.multi import MultiScorer
from fiqa_fast.scorers.passes import ENGINES
from fiqa_fast.scorers.pcnet import PCNet
from fiqa_fast.scorers.pfe import Pfe
from fiqa_fast.scorers.sdd_fiqa import SddFiqa
from fiqa_fast.scorers.ser_fiq import SerFiq

_SCORERS: MappingProxyType[str, type[Scorer]] = MappingProxyType(
    {
        scorer.spec.name: scorer
        for scorer in (
            GraFIQs,
            FaceQAN,
            SerFiq,
            EmbeddingNorm,
            CrFiqa,
            MagFace,
            EDifFiqa,
            DifFiqaR,
            LabelRegressor,
            SddFiqa,
            FaceQnet,
            LightQNet,
            PCNet,
            Pfe,
            Froq,
            DifFIQA,
            Brisque,
            DeepIqa,
            RankIqa,
        )
    }
)


def list_scorers() -> list[ScorerSpec]:
    """The facts of every method that `create_scorer` knows."""
    return [scorer.spec for scorer in _SCORERS.values()]


def scorer_class(name: str) -> type[Scorer]:
    """The class of a registered method.

    Raises:
        InvalidArgumentError: no method has that name.
    """
    if name not in _SCORERS:
        raise InvalidArgumentError(
            f"create_scorer: expected name to be one of {', '.join(_SCORERS)}, got {name!r};"
            " `fiqa-fast models` lists them"
        )
    return _SCORERS[name]


@overload
def create_scorer(
    name: str,
    *,
    backbone: str | Backbone | None = None,
    weights: str | Path | None = None,
    variant: str = "official",
    precision: str = "auto",
    device: str = "auto",
    engine: str = "auto",
    seed: int = 0,
    **options: Any,
) -> Scorer: ...


@overload
def create_scorer(
    name: Sequence[str],
    *,
    backbone: str | Backbone | None = None,
    weights: str | Path | None = None,
    variant: str = "official",
    precision: str = "auto",
    device: str = "auto",
    engine: str = "auto",
    seed: int = 0,
    **options: Any,
) -> MultiScorer: ...


def create_scorer(
    name: str | Sequence[str],
    *,
    backbone: str | Backbone | None = None,
    weights: str | Path | None = None,
    variant: str = "official",
    precision: str = "auto",
    device: str = "auto",
    engine: str = "auto",
    seed: int = 0,
    **options: Any,
) -> Scorer | MultiScorer:
    """Makes a scorer: a quality method on a recognition network.

    Use one scorer for many crops: loading the network is the slow part. Several names give one
    scorer for all of them, which runs the network once for each crop.

    Args:
        name: one of `list_scorers()`, such as "grafiqs"; or several of them.
        backbone: name of a network; or one that is already loaded (it then decides weights,
            precision and device, which must be left out). None: what `weights` holds, or SFace,
            or "none" for methods that use no network.
        weights: the network's weights file; None takes the packaged default, which only SFace has.
        variant: "official" (what published tables used) or "paper", where the two differ.
        precision: "float32" (the reference), "float64", "bf16", "fp16", "int8" (on CPUs, with
            weights from `fiqa-fast weights calibrate-int8`), or "auto": the fastest floating one in
            which every named method keeps its order within the published bound on networks of
            that kind (`fiqa_fast.precision`); float32 for the packaged weights, since calibrations
            hold for it.
        device: "auto" (a CUDA device if there is one, else the CPU), "cpu", "cuda" or "cuda:N".
        engine: "torch" (fused operators), "reference" (the network's plain layers and autograd,
            one image at a time), "openvino" or "onnxruntime" (the method as a static graph, on the
            CPU), "tensorrt" or "tensorrt-rtx" (on a GPU); or "auto", the fastest: torch where the
            method and network can run on it, else openvino, else reference; and openvino for a
            single method of one forward pass in float32 on your own weights. "auto" takes openvino
            only where it is installed and the network is not given loaded, and runs it one image at
            a time, so that scores do not depend on the batch. Graphs take seconds to minutes to be
            made the first time, and are kept (`fiqa_fast.engines.graph_cache`); on engines that
            were asked for by name the precision "auto" is float32.
        seed: of the random draws; ignored by methods without any.
        **options: the method's parameters, for example k, l, eps, p for "faceqan"; `output` for a
            method with several outputs. With several names: for each name a dict of them.

    Returns:
        The scorer; for several names a `MultiScorer`.

    Raises:
        InvalidArgumentError: an unknown name, option or value; the message says what is valid.
        UnavailableError: the device or engine does not exist here.
        WeightsError: the weights are missing or do not fit.

    Example:
        >>> scorer = create_scorer("grafiqs")
        >>> scorer.score(np.zeros((1, 112, 112, 3), np.uint8)).shape
        torch.Size([1])
        >>> both = create_scorer(["grafiqs", "ser-fiq"], grafiqs={"output": "b1"})
        >>> sorted(both.score(np.zeros((1, 112, 112, 3), np.uint8)))
        ['grafiqs', 'ser-fiq']
    """
    names = [name] if isinstance(name, str) else list(name)
    if not names:
        raise InvalidArgumentError(
            "create_scorer: expected the names of one method or more, got none;"
            " `fiqa-fast models` lists them"
        )
    classes = [scorer_class(n) for n in names]
    options_of = {name: options} if isinstance(name, str) else _options_by_name(names, options)
    made = [c.options_type(**_checked(c, options_of[c.spec.name])) for c in classes]
    check_engine(engine)
    compiled = engine in GRAPH_ENGINES
    if isinstance(backbone, Backbone):
        if weights is not None or precision != "auto" or device != "auto":
            raise InvalidArgumentError(
                "create_scorer: expected weights, precision and device to be left out with a loaded"
                " backbone, got one of them; give them to load_backbone"
            )
        network = backbone
    else:
        if weights is None and backbone is None:
            defaults = list(dict.fromkeys(default_network(n) for n in names))
            if len(defaults) > 1:
                raise InvalidArgumentError(
                    f"create_scorer: expected methods on one network, got {', '.join(names)}, which"
                    f" run on {', '.join(defaults)}; make a scorer for each network"
                )
            backbone = defaults[0]
        network = load_backbone(
            backbone,
            weights=weights,
            precision="float32" if compiled else precision,
            device="cpu" if compiled else device,
        )
        # The packaged weights stay in float32, for which their calibrations hold.
        if precision == "auto" and weights is not None and engine in ("auto", "torch"):
            _speed_up(network, names)
    scorers = [
        c(network, o, variant=variant, seed=seed, engine="reference" if compiled else engine)
        for c, o in zip(classes, made, strict=True)
    ]
    if compiled:
        for scorer in scorers:
            compile_scorer(scorer, engine, precision, device)
    elif engine == "auto" and network is not backbone:
        for scorer in scorers:
            if _is_faster_on_openvino(scorer, alone=len(scorers) == 1 and weights is not None):
                compile_scorer(scorer, "openvino", "float32", images_per_call=1)
    return scorers[0] if isinstance(name, str) else MultiScorer(scorers)


def check_engine(engine: str) -> None:
    """Raises UnavailableError unless an engine of that name runs on this machine."""
    if engine in ENGINES:
        return
    reasons = {name: why_no_engine(name) for name in GRAPH_ENGINES}
    if reasons.get(engine) == "":
        return
    here = [name for name, reason in reasons.items() if not reason]
    raise UnavailableError(
        f"create_scorer: expected engine to be one of {', '.join(ENGINES)}, got {engine!r}"
        f" (here also {', '.join(here) or 'no other'});"
        f" {reasons.get(engine, 'no engine has that name')}"
    )


def _speed_up(network: Backbone, names: Sequence[str]) -> None:
    """Converts a network into the fastest precision in which the methods keep within the bound."""
    precision = fastest_precision(names, network.spec.name, network.device)
    if precision != network.precision and not why_not_fusable(network):
        network.prepare(network.device, precision)


def _is_faster_on_openvino(scorer: Scorer, *, alone: bool) -> bool:
    """Whether "auto" leaves torch, as measured (benchmarks/results/engine_speed.md).

    In float32 on a CPU OpenVINO is faster than plain layers, and than the fused passes where one
    forward pass is all that a method needs. The packaged network stays on torch, as do methods that
    share passes.

    Args:
        scorer: the method on torch.
        alone: no other method shares the network, whose weights are the user's.
    """
    if (scorer.device, scorer.precision) != ("cpu", "float32"):
        return False
    one_forward_pass = not (scorer.fills_forward_pass or scorer.spec.is_random)
    if scorer.engine == "reference" or (alone and one_forward_pass):
        return not (scorer.why_no_graph() or why_no_engine("openvino"))
    return False


def _options_by_name(names: Sequence[str], options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    for name, value in options.items():
        if name not in names or not isinstance(value, Mapping):
            raise InvalidArgumentError(
                f"create_scorer: expected, for several methods, a dict of parameters for each of"
                f" {', '.join(names)}, got {name}={value!r}; give faceqan={{'k': 5}} and the like"
            )
    return {name: dict(options.get(name, {})) for name in names}


def _checked(scorer: type[Scorer], options: dict[str, Any]) -> dict[str, Any]:
    """The options, when all of them are the method's own."""
    valid = [field.name for field in fields(scorer.options_type)]
    for option in options:
        if option not in valid:
            raise InvalidArgumentError(
                f"create_scorer: expected an option of {scorer.spec.name} (one of"
                f" {', '.join(valid)}), got {option!r}; check the spelling"
            )
    for field in fields(scorer.options_type):
        value = options.get(field.name, field.default)
        kinds = [kind.strip() for kind in str(field.type).split("|")]
        if not any(_is_of(value, kind) for kind in kinds):
            raise InvalidArgumentError(
                f"create_scorer: expected {field.name} of {scorer.spec.name} to be"
                f" {' or '.join(kinds)}, got {value!r}; give a value of that type"
            )
    return options


def _is_of(value: object, kind: str) -> bool:
    """Whether a value is of a type of options: a finite float, an int, a str or None."""
    if isinstance(value, bool):
        return kind == "bool"
    if kind == "float":
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, {"int": int, "str": str, "None": NoneType}[kind])


def default_network(name: str) -> str:
    """The network that a method runs on when neither a network nor weights are given.

    Raises:
        InvalidArgumentError: no method has that name.
        WeightsError: the method needs weights that no package carries.
    """
    spec = scorer_class(name).spec
    if not spec.networks:
        return DEFAULT_BACKBONE
    ready = [network for network in spec.networks if network in READY_BACKBONES]
    if not ready:
        raise WeightsError(
            f"create_scorer: expected the weights of {name}, got none; no package carries them:"
            f" bring {spec.weights} ({spec.licence}) and give the path as `weights` (--weights)"
        )
    return ready[0]
