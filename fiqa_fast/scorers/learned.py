"""What the learned methods have in common: a head behind the network gives the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.backbones.layers.heads import QualityHead
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.base import Scorer, working


class LearnedScorer(Scorer):
    """A method whose weights file holds a head for the quality, beside the network or in it.

    A subclass gives `spec` (with the files to bring in `spec.weights`) and `head_kind`.
    """

    head_kind: ClassVar[str]

    def _check_backbone(self) -> None:
        head = self.backbone.head
        if head is None or head.kind != self.head_kind:
            has = "no quality head" if head is None else f"the quality head of {head.kind}"
            raise InvalidArgumentError(
                f"{self.spec.name}: expected a network with the quality head of {self.head_kind},"
                f" got {self.backbone.spec.name} with {has}; bring its weights"
                f" ({self.spec.weights}) with `weights`"
            )
        if head.reads == "embedding":
            self._check_size(head, self.backbone.spec.embedding_size)
        self._head = head

    @torch.no_grad()
    def _evaluate(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        head = self._head
        inputs = forward.features if head.reads == "features" else forward.embedding
        self._check_size(head, inputs.shape[1])
        return {"score": head(working(inputs))}

    def _check_size(self, head: QualityHead, size: int) -> None:
        if size != head.size:
            raise InvalidArgumentError(
                f"{self.spec.name}: expected a network whose {head.reads} has {head.size} numbers,"
                f" got {self.backbone.spec.name} with {size}; bring the head and the network that"
                " were trained together"
            )
