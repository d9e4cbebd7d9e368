"""The methods by name, and how one is made."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError, UnavailableError
from fiqa_fast.scorers.base import Scorer, ScorerSpec
from fiqa_fast.scorers.embedding_norm import EmbeddingNorm
from fiqa_fast.scorers.faceqan import FaceQAN
from fiqa_fast.scorers.grafiqs import GraFIQs
from fiqa_fast.scorers.ser_fiq import SerFiq

_SCORERS: MappingProxyType[str, type[Scorer]] = MappingProxyType(
    {scorer.spec.name: scorer for scorer in (GraFIQs, FaceQAN, SerFiq, EmbeddingNorm)}
)

ENGINES = ("torch",)


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


def create_scorer(
    name: str,
    *,
    backbone: str | Backbone = "sface",
    weights: str | Path | None = None,
    variant: str = "official",
    precision: str = "auto",
    device: str = "auto",
    engine: str = "auto",
    seed: int = 0,
    **options: Any,
) -> Scorer:
    """Makes a scorer: a quality method on a recognition network.

    Use one scorer for many crops: loading the network is the slow part. Several scorers share a
    network when you load it once with `load_backbone` and pass it to each.

    Args:
        name: one of `list_scorers()`, such as "grafiqs".
        backbone: name of a network, or one that is already loaded (it then decides weights,
            precision and device, which must be left out).
        weights: the network's weights file; None takes the packaged default.
        variant: "official" (what published tables used) or "paper", where the two differ.
        precision: "auto" (float32, the reference), "float32", "float64", "bf16" or "fp16".
        device: "auto" (a CUDA device if there is one, else the CPU), "cpu", "cuda" or "cuda:N".
        engine: "auto" or "torch".
        seed: of the random draws; ignored by methods without any.
        **options: the method's parameters, for example k, l, eps, p for "faceqan"; `output` for a
            method with several outputs.

    Returns:
        The scorer.

    Raises:
        InvalidArgumentError: an unknown name, option or value; the message says what is valid.
        UnavailableError: the device or engine does not exist here.
        WeightsError: the weights are missing or do not fit.

    Example:
        >>> scorer = create_scorer("grafiqs")
        >>> scorer.score(np.zeros((1, 112, 112, 3), np.uint8)).shape
        torch.Size([1])
    """
    scorer = scorer_class(name)
    if engine not in ("auto", *ENGINES):
        raise UnavailableError(
            f"create_scorer: expected engine to be one of auto, {', '.join(ENGINES)},"
            f" got {engine!r}; this version runs on torch only"
        )
    valid = [field.name for field in fields(scorer.options_type)]
    for option in options:
        if option not in valid:
            raise InvalidArgumentError(
                f"create_scorer: expected an option of {name} (one of {', '.join(valid)}),"
                f" got {option!r}; check the spelling"
            )
    if isinstance(backbone, Backbone):
        if weights is not None or precision != "auto" or device != "auto":
            raise InvalidArgumentError(
                "create_scorer: expected weights, precision and device to be left out with a loaded"
                " backbone, got one of them; give them to load_backbone"
            )
        network = backbone
    else:
        network = load_backbone(
            backbone,
            weights=weights,
            precision=precision,
            device=device,
        )
    return scorer(network, scorer.options_type(**options), variant=variant, seed=seed)
