"""Which engine runs a network, and how many images go through it together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.errors import InvalidArgumentError, UnavailableError
from fiqa_fast.fused.forward_pass import FusedForwardPass
from fiqa_fast.fused.network import why_not_fusable

ENGINES = ("reference", "auto", "torch")
"""torch: fused operators, explicit passes back. reference: the network's plain layers, autograd."""

_IMAGES_ON_GPU = 32
_IMAGES_IN_BF16 = 8  # their activations stay in a CPU's cache, and share what the weights cost


def resolve_engine(method: str, backbone: Backbone, engine: str, *, runs_fused: bool) -> str:
    """The engine that will run a method on a network: "torch" or "reference".

    Args:
        method: its name, for messages.
        backbone: the network.
        engine: of ENGINES; "auto" is "torch" where that can run.
        runs_fused: whether the method can do with a fused pass at all.

    Raises:
        InvalidArgumentError: no engine has that name.
        UnavailableError: "torch" was asked for and cannot run; the message says why.
    """
    if engine not in ENGINES:
        raise InvalidArgumentError(
            f"{method}: expected engine to be one of {', '.join(ENGINES)}, got {engine!r};"
            " leave it out for the fastest one"
        )
    if engine == "reference":
        return engine
    obstacle = (
        why_not_fusable(backbone) if runs_fused else "the method runs the network on its own images"
    )
    if not obstacle:
        return "torch"
    if engine == "torch":
        raise UnavailableError(
            f"{method}: expected a method and a network that can run on the engine torch, got"
            f" {backbone.spec.name} in {backbone.precision}: {obstacle}; use engine='reference'"
        )
    return "reference"


def images_per_pass(backbone: Backbone, engine: str) -> int:
    """How many images go through the network together.

    Scores must not depend on the batch, and networks add in another order for another batch shape.
    The reference and float32 on a CPU run one image at a time, a GPU always a full pass (the last
    one filled up). Packed bf16 convolutions on a CPU give the same bits for any number of images.
    """
    if engine == "reference":
        return 1
    if backbone.device.type != "cpu":
        return _IMAGES_ON_GPU
    return _IMAGES_IN_BF16 if backbone.dtype == torch.bfloat16 else 1


class Passes:
    """The passes that a batch of crops takes.

    Args:
        backbone: the network.
        engine: "torch" or "reference".
        batch: uint8 [B, 3, H, W], in the network's input size.
    """

    def __init__(self, backbone: Backbone, engine: str, batch: Tensor) -> None:
        self._backbone, self._engine, self._batch = backbone, engine, batch
        self._size = images_per_pass(backbone, engine)
        self._fills = engine == "torch" and backbone.device.type != "cpu"

    def __iter__(self) -> Iterator[tuple[ForwardPass, slice]]:
        """Yields each pass, and which crops of the batch are in it."""
        kind = FusedForwardPass if self._engine == "torch" else ForwardPass
        for start in range(0, len(self._batch), self._size):
            chunk = slice(start, min(start + self._size, len(self._batch)))
            yield kind(self._backbone, self.filled(self._batch[chunk])), chunk

    def filled(self, of_chunk: Tensor) -> Tensor:
        """A row for each image of a pass; where passes are always full, with copies of the last."""
        missing = self._size - len(of_chunk)
        if not self._fills or missing == 0:
            return of_chunk
        return torch.cat([of_chunk, of_chunk[-1:].expand(missing, *of_chunk.shape[1:])])
