"""Heads: what the learned quality methods put behind a recognition network.

The names of the parameters are those of the released weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fiqa_fast.errors import WeightsError


class QualityHead(nn.Module, ABC):
    """Turns features or an embedding into a quality.

    Attributes:
        kind: name of the method that trains it.
        reads: "features" (in front of the last linear layer) or "embedding" (raw).
        size: numbers that it reads for each face.
    """

    kind: ClassVar[str]
    reads: ClassVar[Literal["features", "embedding"]]
    size: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """[N, size] -> [N]."""


class LinearHead(QualityHead):
    """One linear layer on the raw embedding."""

    reads = "embedding"
    layer_name: ClassVar[str]

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.add_module(self.layer_name, nn.Linear(size, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, D] -> [N], unbounded."""
        return self.get_submodule(self.layer_name)(x)[:, 0]  # type: ignore[no-any-return]


class CrFiqaHead(LinearHead):
    """CR-FIQA: `qs`."""

    kind, layer_name = "cr-fiqa", "qs"


class DifFiqaRHead(LinearHead):
    """DifFIQA(R): `linear`."""

    kind, layer_name = "diffiqa-r", "linear"


class RegressorHead(LinearHead):
    """The optimisation paper's regressor: `regressor`."""

    kind, layer_name = "label-regressor", "regressor"


class PcNetHead(LinearHead):
    """PCNet: `pcnet`, a name of our own, since its authors released no weights."""

    kind, layer_name = "pcnet", "pcnet"


class EDifFiqaHead(QualityHead):
    """eDifFIQA: two linear layers with an exact GELU between them.

    The smallest network (T) L2-normalises its embedding first.
    """

    kind, reads = "ediffiqa", "embedding"

    def __init__(self, size: int, hidden: int, *, normalises: bool) -> None:
        super().__init__()
        self.size, self.normalises = size, normalises
        self.mlp = nn.ModuleDict({"l1": nn.Linear(size, hidden), "l2": nn.Linear(hidden, 1)})

    def forward(self, x: Tensor) -> Tensor:
        """[N, D] -> [N]."""
        x = F.normalize(x) if self.normalises else x
        return self.mlp["l2"](F.gelu(self.mlp["l1"](x)))[:, 0]  # type: ignore[no-any-return]


class SddFiqaHead(QualityHead):
    """SDD-FIQA: PReLU with one slope per feature, then a linear layer, on the flattened body."""

    kind, reads = "sdd-fiqa", "features"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        # Released as a Sequential of flatten, PReLU, dropout and linear layer.
        self.quality = nn.ModuleDict({"1": nn.PReLU(size), "3": nn.Linear(size, 1)})

    def forward(self, x: Tensor) -> Tensor:
        """[N, F] -> [N], about 0..100."""
        return self.quality["3"](self.quality["1"](x))[:, 0]  # type: ignore[no-any-return]


class LightQNetHead(QualityHead):
    """LightQNet: `confidence`, one linear layer on the averaged features, and a sigmoid."""

    kind, reads = "lightqnet", "features"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.confidence = nn.Linear(size, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, F] -> [N], 0..1."""
        return self.confidence(x)[:, 0].sigmoid()  # type: ignore[no-any-return]


class FaceQnetHead(QualityHead):
    """FaceQnet: `dense`, fully connected layers on the averaged features; cut off to 0..1.

    The name of each layer says its place and its activation: "0_relu".
    """

    kind, reads = "faceqnet", "features"
    _ACTIVATIONS: ClassVar[Mapping[str, Callable[[Tensor], Tensor]]] = {
        "linear": lambda x: x,
        "relu": torch.relu,
        "sigmoid": torch.sigmoid,
    }

    def __init__(self, layers: Mapping[str, tuple[int, int]]) -> None:
        super().__init__()
        self.size = next(iter(layers.values()))[0]
        self.dense = nn.ModuleDict({name: nn.Linear(*sizes) for name, sizes in layers.items()})
        self._activations = [self._activation(name) for name in layers]

    def forward(self, x: Tensor) -> Tensor:
        """[N, F] -> [N], 0..1."""
        for layer, activation in zip(self.dense.values(), self._activations, strict=True):
            x = activation(layer(x))
        return x[:, 0].clamp(0, 1)

    def _activation(self, layer: str) -> Callable[[Tensor], Tensor]:
        name = layer.split("_", 1)[-1]
        if name not in self._ACTIVATIONS:
            raise WeightsError(
                "weights: expected fully connected layers with the activations"
                f" {', '.join(self._ACTIVATIONS)}, got {name!r}; bring FaceQnet's released file"
            )
        return self._ACTIVATIONS[name]


class PfeHead(QualityHead):
    """PFE's uncertainty module, as the harmonic mean of the variances that it estimates.

    Linear, BatchNorm, ReLU, linear, BatchNorm without weight and bias, then one scale and one shift
    for all dimensions. The authors released it in TensorFlow; the names here are our own.
    """

    kind, reads = "pfe", "features"
    _BN_EPS, _LEAST_VARIANCE = 1e-3, 1e-6

    def __init__(self, size: int, embedding_size: int) -> None:
        super().__init__()
        self.size = size
        self.pfe = nn.ModuleDict(
            {
                "fc1": nn.Linear(size, embedding_size, bias=False),
                "bn1": nn.BatchNorm1d(embedding_size, self._BN_EPS),
                "fc2": nn.Linear(embedding_size, embedding_size, bias=False),
                "bn2": nn.BatchNorm1d(embedding_size, self._BN_EPS, affine=False),
            }
        )
        self.pfe.register_parameter("scale", nn.Parameter(torch.empty(())))
        self.pfe.register_parameter("shift", nn.Parameter(torch.empty(())))

    def variances(self, x: Tensor) -> Tensor:
        """[N, F] -> sigma^2, [N, embedding_size]."""
        hidden = torch.relu(self.pfe["bn1"](self.pfe["fc1"](x)))
        normalised = self.pfe["bn2"](self.pfe["fc2"](hidden))
        scale, shift = self.pfe.get_parameter("scale"), self.pfe.get_parameter("shift")
        return torch.exp(scale * normalised + shift) + self._LEAST_VARIANCE

    def forward(self, x: Tensor) -> Tensor:
        """[N, F] -> [N], positive."""
        return 1 / (1 / self.variances(x)).mean(1)


_LINEAR_HEADS: tuple[type[LinearHead], ...] = (
    CrFiqaHead,
    DifFiqaRHead,
    RegressorHead,
    PcNetHead,
)


def recognise_head(tensors: Mapping[str, Tensor], network: str) -> QualityHead | None:
    """Builds the head whose parameters are among the tensors.

    Args:
        tensors: what a weights file holds beside the network, by name.
        network: name of the network in front of it.

    Returns:
        The head, without weights; None where the tensors are of no known head.
    """
    for linear in _LINEAR_HEADS:
        weight = tensors.get(f"{linear.layer_name}.weight")
        if weight is not None and weight.ndim == 2:
            return linear(weight.shape[1])
    first = tensors.get("mlp.l1.weight")
    if first is not None and first.ndim == 2:
        return EDifFiqaHead(
            first.shape[1], first.shape[0], normalises=network.startswith("mobilefacenet")
        )
    last = tensors.get("quality.3.weight")
    if last is not None and last.ndim == 2:
        return SddFiqaHead(last.shape[1])
    uncertainty = tensors.get("pfe.fc1.weight")
    if uncertainty is not None and uncertainty.ndim == 2:
        return PfeHead(uncertainty.shape[1], uncertainty.shape[0])
    confidence = tensors.get("confidence.weight")
    if confidence is not None and confidence.ndim == 2:
        return LightQNetHead(confidence.shape[1])
    dense = {
        name.removeprefix("dense.").removesuffix(".weight"): (tensor.shape[1], tensor.shape[0])
        for name, tensor in sorted(tensors.items())
        if name.startswith("dense.") and name.endswith(".weight") and tensor.ndim == 2
    }
    if dense:
        return FaceQnetHead(dense)
    return None
