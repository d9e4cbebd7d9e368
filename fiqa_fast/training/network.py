"""A recognition network with a quality head, as something that learns.

Networks of this package are frozen, in inference mode, wherever they score. Here their parameters
get gradients and their BatchNorm layers learn statistics; what comes out is written in the layout
that `load_checkpoint` reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from fiqa_fast.backbones import checkpoint_metadata
from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.checkpoints import skeleton, tensors_to_write
from fiqa_fast.backbones.layers.heads import LinearHead
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.dropout import drop_out
from fiqa_fast.weights import safetensors_file


class QualityNetwork(nn.Module):
    """Crops in; embeddings and qualities out.

    Args:
        backbone: the network; its parameters are made trainable.
        head: a linear head on the raw embedding; it becomes the network's head.
        dropout: probability in front of the last linear layer, while training.
        frozen: the network stays as it is, in inference mode; only the head learns ("on top").
    """

    def __init__(
        self, backbone: Backbone, head: LinearHead, *, dropout: float = 0.4, frozen: bool = False
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise InvalidArgumentError(
                f"train: expected 0 <= dropout < 1, got {dropout}; the papers take 0.4"
            )
        if head.size != backbone.spec.embedding_size:
            raise InvalidArgumentError(
                f"train: expected a head of {backbone.spec.embedding_size} numbers for"
                f" {backbone.spec.name}, got one of {head.size}; make it for this network"
            )
        backbone.head = head
        self.backbone, self.dropout, self.frozen = backbone, dropout, frozen
        backbone.requires_grad_(not frozen)
        head.requires_grad_(True)
        self.train()

    @property
    def head(self) -> LinearHead:
        """What gives the quality."""
        head = self.backbone.head
        if not isinstance(head, LinearHead):
            raise InvalidArgumentError("train: expected a linear head, got another; make a new one")
        return head

    def forward(self, crops: Tensor, keys: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Embeds crops and estimates their quality.

        Args:
            crops: uint8 RGB [B, 3, 112, 112].
            keys: B numbers that decide what is dropped, as `dropout.mask_keys` gives them; None:
                nothing is dropped.

        Returns:
            Raw embeddings [B, D], qualities [B].
        """
        spec = self.backbone.spec
        x = self.backbone.normalise(spec.input.fitted(crops))
        if self.frozen:
            with torch.no_grad():
                embedding = self.backbone.embed(self.backbone.trunk(x))
        else:
            features = self.backbone.trunk(x)
            if keys is not None:
                features = drop_out(features, self.dropout, keys)
            embedding = self.backbone.embed(features)
        return embedding, self.head(embedding)

    def train(self, mode: bool = True) -> QualityNetwork:
        """Training or inference mode, for the network's layers too unless it is frozen."""
        self.training = mode
        # `Backbone.train` keeps inference mode, which scores depend on.
        for module in self.backbone.modules():
            module.training = mode and not self.frozen
        return self


def new_backbone(name: str, seed: int) -> Backbone:
    """A network with fresh weights: He's for layers, BatchNorm as the identity, PReLU 0.25.

    K. He et al., "Delving Deep into Rectifiers" (ICCV 2015).

    Raises:
        InvalidArgumentError: no network has that name.
    """
    backbone = skeleton(name)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in backbone.modules():
            _initialise(module, generator)
    return backbone.prepare(torch.device("cpu"), "float32")


def new_head(kind: type[LinearHead], backbone: Backbone) -> LinearHead:
    """A linear head for a network. It says 0 for everything: there is nothing to unlearn."""
    head = kind(backbone.spec.embedding_size)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    return head


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        fan_in = math.prod(module.weight.shape[1:])
        gain = 2.0 if isinstance(module, nn.Conv2d) else 1.0
        module.weight.normal_(0, math.sqrt(gain / fan_in), generator=generator)
        if module.bias is not None:
            module.bias.zero_()
    elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
        module.reset_parameters()
    elif isinstance(module, nn.PReLU):
        module.weight.fill_(0.25)


def write_network(network: QualityNetwork, path: Path, origin: str) -> None:
    """Writes network and head as a safetensors file that `score`, `export` and `serve` take.

    Args:
        network: trained.
        path: the file; replaced as a whole.
        origin: in words: what it was trained on, and how.
    """
    backbone = network.backbone
    metadata = checkpoint_metadata.describe(backbone) | {
        checkpoint_metadata.SOURCE: origin,
        checkpoint_metadata.LICENCE: "of one's own training; as the training data allow",
    }
    safetensors_file.write(path, tensors_to_write(backbone), metadata)
