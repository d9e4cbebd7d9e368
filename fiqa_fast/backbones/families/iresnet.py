"""iresnet, the network of ArcFace's authors: 18 to 200 layers, in the key layout of insightface.

Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (CVPR 2019); the
improved residual unit is that of Duta et al., "Improved Residual Networks for Image and Video
Recognition" (ICPR 2020). ArcFace, CosFace, ElasticFace, CR-FIQA, eDifFIQA and the optimisation
paper's regressor have weights in this layout. MagFace and MXNet's networks have the same layers
with another input and epsilon. ONNX files are recognised by what they compute, whatever the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.checkpoint_parts import CheckpointParts, count_blocks
from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.layers.units import (
    BatchNormObserver,
    BatchNormUnit,
    ConvUnit,
    Shortcut,
    SqueezeExcitation,
    Stage,
    Unit,
    normalise,
)
from fiqa_fast.backbones.onnx_graph.iresnet import read_iresnet
from fiqa_fast.backbones.onnx_graph.network import OnnxNetwork
from fiqa_fast.errors import WeightsError

BLOCKS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
    "iresnet200": (6, 26, 60, 6),
}
_CHANNELS = (64, 128, 256, 512)
_FEATURE_AREA = 7 * 7


class Variant(NamedTuple):
    """What differs between networks of the same layers.

    Attributes:
        prefix: in front of the depth, in the network's name.
        title: in front of the depth, in tables.
        eps: of BatchNorm.
        input: what the network sees.
        source: where its weights come from.
    """

    prefix: str
    title: str
    eps: float
    input: InputSpec
    source: str


_PLAIN = Variant(
    "", "", 1e-5, InputSpec(), "a release in insightface's key layout, or its ONNX file"
)
_MAGFACE = Variant(
    "magface-",
    "MagFace ",
    2e-5,
    InputSpec(channel_order="BGR", pixel_mean=0.0, pixel_scale=255.0),
    "MagFace's release",
)
_MXNET = Variant(
    "mxnet-",
    "MXNet ",
    2e-5,
    InputSpec(pixel_scale=128.0),
    "an ONNX file of MXNet's LResNet-E-IR, such as arcfaceresnet100-8",
)
_VARIANTS = (_PLAIN, _MAGFACE, _MXNET)
_MAGFACE_LEVEL = "features."  # in front of the layers, as in features.module.conv1


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

    @property
    def embedding_layers(self) -> tuple[nn.Linear, nn.BatchNorm1d]:
        """The last linear layer, and the BatchNorm layer behind it."""
        return self.fc, self.features

    def embed(self, features: Tensor) -> Tensor:
        """[N, 25088] (channels, rows, columns of the last activation) -> [N, embedding_size]."""
        return self.features(self.fc(features))  # type: ignore[no-any-return]


def _layer(c_in: int, c_out: int, count: int, eps: float, se: int | None) -> Stage:
    units = [ResidualUnit(c_in, c_out, 2, eps, se)]
    units += [ResidualUnit(c_out, c_out, 1, eps, se) for _ in range(count - 1)]
    return Stage(*units)


def _spec(variant: Variant, depth: str) -> BackboneSpec:
    return BackboneSpec(
        name=variant.prefix + depth,
        title=f"{variant.title}iresnet, {depth.removeprefix('iresnet')} layers",
        source=f"bring a file of your own: {variant.source}",
        licence="that of the file; insightface's and MagFace's are for research only",
        embedding_size=512,
        dropout=0.4,
        taps={
            f"b{i}": f"layer{i}: {c} channels of {size}x{size}"
            for i, c, size in zip(range(1, 5), _CHANNELS, (56, 28, 14, 7), strict=True)
        },
        input=variant.input,
    )


SPECS = tuple(_spec(variant, depth) for variant in _VARIANTS for depth in BLOCKS)


def skeleton(name: str) -> Backbone:
    """The network of that name, its parameters not set."""
    variant, depth = next((v, d) for v in _VARIANTS for d in BLOCKS if v.prefix + d == name)
    return _network(variant, depth, 512, None)


def recognise(
    parts: CheckpointParts, name: str | None
) -> tuple[Backbone, Mapping[str, Tensor]] | None:
    """The iresnet that the tensors are of: depth, embedding and SE from keys and shapes.

    MagFace's files are told by their key prefix, or by `name`. An ONNX file shows its epsilon, and
    may show what it does with pixels.
    """
    if parts.file.graph is not None:
        onnx = read_iresnet(parts.file)
        return None if onnx is None else _from_onnx(onnx, name)
    tensors = parts.network
    if not {"conv1.weight", "layer1.0.bn1.weight", "fc.weight"} <= tensors.keys():
        return None
    depth = _depth(tensors)
    if depth is None:
        return None
    variant = _named(name, depth)
    if variant is None:
        prefixed = name is None and _MAGFACE_LEVEL in parts.prefix
        variant = _MAGFACE if prefixed else _PLAIN
    se = tensors.get("layer1.0.se.fc1.weight")
    se_reduction = None if se is None else _CHANNELS[0] // se.shape[0]
    return _network(variant, depth, tensors["fc.weight"].shape[0], se_reduction), tensors


def _from_onnx(onnx: OnnxNetwork, name: str | None) -> tuple[IResNet, Mapping[str, Tensor]]:
    depth = _depth(onnx.tensors)
    if depth is None:
        raise WeightsError(
            f"weights: expected an iresnet of {', '.join(map(str, BLOCKS.values()))} units, got"
            f" {onnx.path} with {_blocks(onnx.tensors)}; bring a file of one of these depths"
        )
    variant = _named(name, depth) or _shown_variant(onnx, depth)
    if not onnx.has_epsilon(variant.eps):
        raise WeightsError(
            f"weights: expected BatchNorm layers with epsilon {variant.eps:g} in"
            f" {variant.prefix}{depth}, got {onnx.path} with"
            f" {', '.join(f'{eps:g}' for eps in sorted(onnx.epsilons))}; leave out the name"
        )
    onnx = onnx.seeing(variant.input)
    network = _network(variant, depth, onnx.tensors["fc.weight"].shape[0], None)
    if onnx.folded:
        network.bn_statistics = "none"
    return network, onnx.tensors


def _shown_variant(onnx: OnnxNetwork, depth: str) -> Variant:
    """The only variant that a graph's epsilon and pixels fit."""
    fitting = [
        v
        for v in _VARIANTS
        if onnx.has_epsilon(v.eps) and (onnx.pixels is None or onnx.pixels.has_mean_of(v.input))
    ]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(v.prefix + depth for v in fitting or _VARIANTS)
    raise WeightsError(
        f"weights: expected a graph that is one of {names}, got {onnx.path}, which"
        f" {'may be any of them' if fitting else 'is none of them'}: BatchNorm epsilon"
        f" {', '.join(f'{eps:g}' for eps in sorted(onnx.epsilons))},"
        f" input {onnx.pixels or 'prepared outside'}; give the network's name"
    )


def _named(name: str | None, depth: str) -> Variant | None:
    return next((v for v in _VARIANTS if v.prefix + depth == name), None)


def _blocks(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    return tuple(count_blocks(tensors, f"layer{i}.") for i in range(1, 5))


def _depth(tensors: Mapping[str, Tensor]) -> str | None:
    blocks = _blocks(tensors)
    return next((depth for depth, known in BLOCKS.items() if known == blocks), None)


def _network(
    variant: Variant, depth: str, embedding_size: int, se_reduction: int | None
) -> IResNet:
    spec = replace(_spec(variant, depth), embedding_size=embedding_size)
    return IResNet(spec, BLOCKS[depth], variant.eps, se_reduction)
