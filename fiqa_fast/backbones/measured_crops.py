"""Crops that something is measured over: checked one by one, and remembered by a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.images.pixels import check_pixels
from fiqa_fast.types import CROP_SIZE_PX, UInt8Array


class MeasuredCrops:
    """Turns crops into a network's inputs, one at a time.

    Args:
        what: is measured, for messages.
        backbone: the network.
    """

    def __init__(self, what: str, backbone: Backbone) -> None:
        self._what, self._backbone = what, backbone
        self._digests: list[bytes] = []

    def inputs(self, crops: Iterable[UInt8Array]) -> Iterator[Tensor]:
        """The network's input for each crop: uint8 RGB [112, 112, 3] -> [1, 3, H, W].

        Raises:
            InvalidArgumentError: a crop of another shape or dtype.
        """
        network = self._backbone
        for crop in crops:
            self._check(crop)
            self._digests.append(hashlib.sha256(crop.tobytes()).digest())
            batch = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].to(network.device)
            yield network.normalise(network.spec.input.fitted(batch))

    @property
    def count(self) -> int:
        """How many crops there were so far."""
        return len(self._digests)

    @property
    def sha256(self) -> str:
        """Of the crops' pixels, whatever their order; in hexadecimal."""
        return hashlib.sha256(b"".join(sorted(self._digests))).hexdigest()

    def _check(self, crop: UInt8Array) -> None:
        check_pixels(self._what, crop)
        if crop.shape[:2] != (CROP_SIZE_PX, CROP_SIZE_PX):
            raise InvalidArgumentError(
                f"{self._what}: expected crops of {CROP_SIZE_PX}x{CROP_SIZE_PX} pixels, got"
                f" {list(crop.shape)}; align or resize the faces first (fiqa_fast.images)"
            )
