"""iresnet, the network of ArcFace's authors: 18 to 200 layers, in the key layout of insightface.

Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (CVPR 2019); the
improved residual unit is that of Duta et al., "Improved Residual Networks for Image and Video
Recognition" (ICPR 2020). ArcFace, CosFace, ElasticFace, CR-FIQA, eDifFIQA and the optimisation
paper's regressor have weights in this layout. MagFace has too, with another input and epsilon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.checkpoint_parts import CheckpointParts, count_blocks
from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.units import (
    BatchNormObserver,
    BatchNormUnit,
    ConvUnit,
    Shortcut,
    SqueezeExcitation,
    Stage,
    Unit,
    normalise,
)

BLOCKS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
    "iresnet200": (6, 26, 60, 6),
}
_CHANNELS = (64, 128, 256, 512)
_FEATURE_AREA = 7 * 7
_EPS = 1e-5

# MagFace: the same layers, another input and another epsilon of BatchNorm.
_MAGFACE = "magface-"
_MAGFACE_PREFIXES = ("features.module.", "module.features.", "module.features.module.")
_MAGFACE_EPS = 2e-5


class ResidualUnit(Unit):
    """BN, conv 3x3, BN, PReLU, conv 3x3 with the stride, BN, plus the skip connection."""

    def __init__(self, c_in: int, c_out: int, stride: int, eps: float, se: int | None) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in, eps)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out, eps)
        self.prelu = nn.PReLU(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out, eps)
        self.se = None if se is None else SqueezeExcitation(c_out, se)
        self.downsample: Shortcut | None = None
        if stride != 1 or c_in != c_out:
            self.downsample = Shortcut(c_in, c_out, stride, eps)

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H / stride, W / stride]."""
        y: Tensor = self.conv1(normalise(self.bn1, x, observe))
        y = self.conv2(self.prelu(normalise(self.bn2, y, observe)))
        y = normalise(self.bn3, y, observe)
        if self.se is not None:
            y = self.se(y)
        skip: Tensor = x if self.downsample is None else self.downsample(x, observe)
        return y + skip


class IResNet(Backbone):
    """iresnet with its taps at the ends of layer1..layer4."""

    def __init__(
        self, spec: BackboneSpec, blocks: tuple[int, ...], eps: float, se_reduction: int | None
    ) -> None:
        super().__init__(spec)
        self.conv1 = nn.Conv2d(3, _CHANNELS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_CHANNELS[0], eps)
        self.prelu = nn.PReLU(_CHANNELS[0])
        inputs = (_CHANNELS[0], *_CHANNELS)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _layer(c_in, c_out, count, eps, se_reduction and c_out // se_reduction)
            for c_in, c_out, count in zip(inputs, _CHANNELS, blocks, strict=False)
        )
        self.bn2 = nn.BatchNorm2d(_CHANNELS[-1], eps)
        self.fc = nn.Linear(_CHANNELS[-1] * _FEATURE_AREA, spec.embedding_size)
        self.features = nn.BatchNorm1d(spec.embedding_size, eps)

        stem = ConvUnit(self.conv1, self.bn1, self.prelu)
        self.stages = (
            Stage(stem, *self.layer1),
            self.layer2,
            self.layer3,
            self.layer4,
            Stage(BatchNormUnit(self.bn2)),
        )

    def embed(self, features: Tensor) -> Tensor:
        """[N, 25088] (channels, rows, columns of the last activation) -> [N, embedding_size]."""
        return self.features(self.fc(features))  # type: ignore[no-any-return]


def _layer(c_in: int, c_out: int, count: int, eps: float, se: int | None) -> Stage:
    units = [ResidualUnit(c_in, c_out, 2, eps, se)]
    units += [ResidualUnit(c_out, c_out, 1, eps, se) for _ in range(count - 1)]
    return Stage(*units)


def _spec(name: str, *, magface: bool) -> BackboneSpec:
    bring = "MagFace's release" if magface else "a release in insightface's key layout"
    return BackboneSpec(
        name=_MAGFACE + name if magface else name,
        title=f"{'MagFace ' if magface else ''}iresnet, {name.removeprefix('iresnet')} layers",
        source=f"bring a file of your own: {bring}",
        licence="that of the file; insightface's and MagFace's are for research only",
        embedding_size=512,
        dropout=0.4,
        taps={
            f"b{i}": f"layer{i}: {c} channels of {size}x{size}"
            for i, c, size in zip(range(1, 5), _CHANNELS, (56, 28, 14, 7), strict=True)
        },
        input=InputSpec(channel_order="BGR", pixel_mean=0.0, pixel_scale=255.0)
        if magface
        else InputSpec(),
    )


SPECS = (
    *(_spec(name, magface=False) for name in BLOCKS),
    *(_spec(name, magface=True) for name in BLOCKS),
)


def skeleton(name: str) -> Backbone:
    """The network of that name, its parameters not set."""
    return _network(name, 512, None)


def recognise(
    parts: CheckpointParts, name: str | None
) -> tuple[Backbone, Mapping[str, Tensor]] | None:
    """The iresnet that the tensors are of: depth, embedding and SE from keys and shapes.

    MagFace's files are told by their key prefix, or by `name`.
    """
    tensors = parts.network
    if not {"conv1.weight", "layer1.0.bn1.weight", "fc.weight"} <= tensors.keys():
        return None
    blocks = tuple(count_blocks(tensors, f"layer{i}.") for i in range(1, 5))
    depth = next((n for n, b in BLOCKS.items() if b == blocks), None)
    if depth is None:
        return None
    magface = name == _MAGFACE + depth or (name is None and parts.prefix in _MAGFACE_PREFIXES)
    se = tensors.get("layer1.0.se.fc1.weight")
    return _network(
        _MAGFACE + depth if magface else depth,
        tensors["fc.weight"].shape[0],
        None if se is None else _CHANNELS[0] // se.shape[0],
    ), tensors


def _network(name: str, embedding_size: int, se_reduction: int | None) -> IResNet:
    spec = next(s for s in SPECS if s.name == name)
    return IResNet(
        replace(spec, embedding_size=embedding_size),
        BLOCKS[name.removeprefix(_MAGFACE)],
        eps=_MAGFACE_EPS if name.startswith(_MAGFACE) else _EPS,
        se_reduction=se_reduction,
    )
