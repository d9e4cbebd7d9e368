"""What every quality method offers: its facts, and scores for aligned crops."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import UInt8Array

VARIANTS = ("official", "paper")
Crops = Tensor | UInt8Array


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


@dataclass(frozen=True)
class ScorerOptions:
    """The parameters of a method; each method that has any derives its own.

    Attributes:
        output: which of the method's outputs `score` returns; None: the paper's choice.
    """

    output: str | None = field(default=None, kw_only=True)


class Scorer(ABC):
    """A quality method on one recognition network.

    Scores of a crop do not depend on what else is scored with it: networks run with one fixed batch
    shape per method (`images_per_pass`), so that even the order of floating-point additions is the
    same, and random draws are keyed by the crop's own pixels.

    Args:
        backbone: the network, loaded for the wanted device and precision.
        options: the method's parameters.
        variant: "official" (what published tables used) or "paper".
        seed: of the random draws, 0 <= seed < 2**63; ignored by methods without any.

    Raises:
        InvalidArgumentError: a variant, output or seed that does not exist, or a precision in which
            the method is not exact enough.
    """

    spec: ClassVar[ScorerSpec]
    options_type: ClassVar[type[ScorerOptions]] = ScorerOptions
    images_per_pass: ClassVar[int] = 1

    def __init__(
        self,
        backbone: Backbone,
        options: ScorerOptions | None = None,
        *,
        variant: str = "official",
        seed: int = 0,
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
        if backbone.precision not in self.spec.precisions:
            raise InvalidArgumentError(
                f"{name}: expected precision to be one of {', '.join(self.spec.precisions)},"
                f" got {backbone.precision!r}; the method loses its signal in that arithmetic"
            )
        if not 0 <= seed < 2**63:
            raise InvalidArgumentError(
                f"{name}: expected 0 <= seed < 2**63, got {seed}; choose another seed"
            )
        if self.output not in self.spec.outputs:
            raise InvalidArgumentError(
                f"{name}: expected output to be one of {', '.join(self.spec.outputs)},"
                f" got {self.output!r}; leave it out for {self.spec.default_output}"
            )
        self._check_backbone()

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

    def _score(
        self, crops: Crops, outputs: Sequence[str], noise: Tensor | None
    ) -> dict[str, Tensor]:
        batch = as_crop_tensor(crops, self.backbone.spec.input_size_px)
        self._check_noise(noise, len(batch))
        dtype = torch.float64 if self.backbone.precision == "float64" else torch.float32
        device = self.backbone.device
        chunks: list[Mapping[str, Tensor]] = []
        # The caller's modes stay outside: inference mode forbids the gradients that some methods
        # need, and autocast would change the precision that the result claims.
        with torch.inference_mode(False), torch.autocast(device.type, enabled=False):
            for start in range(0, len(batch), self.images_per_pass):
                chunk = slice(start, start + self.images_per_pass)
                draws = None if noise is None else noise[chunk]
                chunks.append(self._evaluate(batch[chunk], outputs, draws))
        empty = torch.empty(0, dtype=dtype, device=device)
        return {o: torch.cat([empty, *(c[o].to(dtype) for c in chunks)]) for o in outputs}

    def _check_backbone(self) -> None:  # noqa: B027 (most methods need nothing special)
        """Raises InvalidArgumentError unless the network has what the method needs."""

    def _check_noise(self, noise: Tensor | None, batch_size: int) -> None:
        """Raises InvalidArgumentError unless `noise` fits; random methods extend this."""
        if noise is not None:
            raise InvalidArgumentError(
                f"{self.spec.name}: expected no noise, since the method draws nothing at random;"
                " leave it out"
            )

    @abstractmethod
    def _evaluate(
        self, crops: Tensor, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        """Scores uint8 [n, 3, S, S] with n = `images_per_pass` (fewer in the last pass) -> [n]."""


def as_crop_tensor(crops: Crops, size_px: int) -> Tensor:
    """Brings crops into the form uint8 [B, 3, S, S], contiguous.

    Networks add in another order for another memory layout, so there is one for all.

    Raises:
        InvalidArgumentError: anything but uint8 torch [B, 3, S, S] or numpy [B, S, S, 3].
    """
    if isinstance(crops, np.ndarray):
        expected, shape = f"numpy [B, {size_px}, {size_px}, 3]", list(crops.shape)
        fits = crops.ndim == 4 and shape[1:] == [size_px, size_px, 3]
        dtype_fits = crops.dtype == np.uint8
    elif isinstance(crops, Tensor):
        expected, shape = f"torch [B, 3, {size_px}, {size_px}]", list(crops.shape)
        fits = crops.dim() == 4 and shape[1:] == [3, size_px, size_px]
        dtype_fits = crops.dtype == torch.uint8
    else:
        raise InvalidArgumentError(
            "score: expected crops as a torch tensor or a numpy array,"
            f" got {type(crops).__name__}; stack the crops into one array"
        )
    if not fits:
        raise InvalidArgumentError(
            f"score: expected crops of shape {expected}, got {shape};"
            " align or resize the faces first (fiqa_fast.images), and add a batch dimension"
        )
    if not dtype_fits:
        raise InvalidArgumentError(
            f"score: expected crops of dtype uint8 (RGB, 0..255), got {crops.dtype};"
            " pass the pixels as they are: every scorer normalises by itself"
        )
    if isinstance(crops, np.ndarray):
        crops = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2)
    return crops.contiguous()
