"""CR-FIQA: a recognition network that learns to say how well its embeddings can be told apart.

F. Boutros et al., "CR-FIQA: Face Image Quality Assessment by Learning Sample Relative
Classifiability" (CVPR 2023). While the network learns to recognise, a linear layer on its embedding
learns the certainty ratio of each sample, which can be measured in training only. The ablation's
variants: the cosine to the own class alone as target (CCS-FIQA), and a head that is trained on top
of a network that does not learn any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.class_weights import ClassWeights
from fiqa_fast.training.data.loader import Batch
from fiqa_fast.training.dropout import mask_keys
from fiqa_fast.training.loop import Task
from fiqa_fast.training.losses.classifiability import Target, Variant, quality_loss, quality_target
from fiqa_fast.training.network import QualityNetwork


class CrFiqaTask(Task):
    """Recognition, and the quality that follows from it; or the quality alone, on top.

    Args:
        network: with the head of CR-FIQA.
        classes: their weights, with the margin loss.
        seed: of the dropout.
        target: "cr" or "ccs".
        variant: of CR: "paper" or "official".
        weight: lambda, of the quality loss; 0 trains recognition alone.
        beta: of the smooth L1 loss.
        forward: the network in DistributedDataParallel; None: the network itself.
    """

    def __init__(
        self,
        network: QualityNetwork,
        classes: ClassWeights,
        *,
        seed: int = 0,
        target: Target = "cr",
        variant: Variant = "paper",
        weight: float = 10.0,
        beta: float = 0.5,
        forward: nn.Module | None = None,
    ) -> None:
        if weight == 0 and network.frozen:
            raise InvalidArgumentError(
                "train: expected something to learn, got a frozen network and lambda 0; raise"
                " lambda, or train the network"
            )
        self.parts: Mapping[str, nn.Module] = {"network": network, "classes": classes}
        self._network, self._classes, self._seed = network, classes, seed
        self._target, self._variant = target, variant
        self._weight, self._beta = weight, beta
        self._forward = network if forward is None else forward

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """ "loss" (the paper's Eq. 8), "recognition", "quality", and the means of CCS and NNCCS."""
        keys = mask_keys(self._seed, step, batch.positions)
        embedding, predicted = self._forward(batch.images, keys)
        recognition = embedding.new_zeros(())
        if self._network.frozen:
            ccs, nnccs = self._classes.measure(embedding, batch.identity)
        else:
            found = self._classes(embedding, batch.identity, step=step)
            recognition, ccs, nnccs = found.loss, found.ccs, found.nnccs
        target = quality_target(ccs, nnccs, target=self._target, variant=self._variant)
        quality = quality_loss(predicted, target, beta=self._beta, weight=self._weight)
        return {
            "loss": recognition + quality,
            "recognition": recognition,
            "quality": quality,
            "ccs": ccs.mean(),
            "nnccs": nnccs.mean(),
        }

    def clipped(self) -> Iterable[nn.Parameter]:
        """Those of the network and its head; class weights are spread over processes."""
        return [p for p in self._network.parameters() if p.requires_grad]

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """For the optimiser: network and head, and the class weights where they learn."""
        groups = [{"params": list(self.clipped()), "weight_decay": weight_decay}]
        if not self._network.frozen:
            weights = list(self._classes.parameters())
            groups.append({"params": weights, "weight_decay": weight_decay})
        return groups
