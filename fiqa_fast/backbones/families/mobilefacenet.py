"""MobileFaceNet, a small recognition network, in two key layouts and three sizes.

Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile
Devices" (CCBR 2018). InsightFace_Pytorch, face.evoLVe and eDifFIQA(T) release it under the names
that the layers have here. insightface's arcface_torch numbers the same layers, doubles their
channels ("mbf"), and has a large version ("mbf_large"). ONNX files are recognised by what they
compute, whatever the names.

InsightFace_Pytorch trained on BGR images. A file does not show this: ask for "mobilefacenet-bgr" by
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.checkpoint_parts import CheckpointParts, count_blocks
from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.layers.units import BatchNormObserver, ConvUnit, Stage, Unit
from fiqa_fast.backbones.onnx_graph.mobilefacenet import read_mobilefacenet
from fiqa_fast.backbones.onnx_graph.network import OnnxNetwork
from fiqa_fast.errors import WeightsError


class Size(NamedTuple):
    """Channels of the first convolution; units of 56, 28, 14 and 7 pixels that keep the shape."""

    width: int
    blocks: tuple[int, int, int, int]


SIZES = {
    "mobilefacenet": Size(64, (1, 4, 6, 2)),
    "mobilefacenet-x2": Size(128, (1, 4, 6, 2)),
    "mobilefacenet-large": Size(256, (2, 8, 12, 4)),
}
_BGR = "mobilefacenet-bgr"  # InsightFace_Pytorch
_LAST_CHANNELS = 512
_EPS = 1e-5

# What arcface_torch calls the units, and the layers inside them. Its second unit is a convolution
# or, in the large version, a row of bottlenecks.
_UNITS_THERE = {
    "conv1": "layers.0",
    "conv2_dw": "layers.1",
    "conv_2": "layers.1",
    "conv_23": "layers.2",
    "conv_3": "layers.3",
    "conv_34": "layers.4",
    "conv_4": "layers.5",
    "conv_45": "layers.6",
    "conv_5": "layers.7",
    "conv_6_sep": "conv_sep",
    "conv_6_dw": "features.layers.0",
    "linear": "features.layers.2",
    "bn": "features.layers.3",
}
_LAYERS_THERE = {
    "model": "layers",
    "conv": "layers.0",
    "conv_dw": "layers.1",
    "project": "layers.2",
    "bn": "layers.1",
    "prelu": "layers.2",
}


class Bottleneck(Unit):
    """1x1 convolution, depthwise 3x3, 1x1 without activation; plus x where the shape stays."""

    def __init__(self, c_in: int, hidden: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.adds_input = stride == 1
        self.conv = _conv_unit(c_in, hidden, 1)
        self.conv_dw = _conv_unit(hidden, hidden, 3, stride, groups=hidden)
        self.project = _conv_unit(hidden, c_out, 1, linear=True)

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H / stride, W / stride]."""
        y: Tensor = self.project(self.conv_dw(self.conv(x, observe), observe), observe)
        return x + y if self.adds_input else y


class MobileFaceNet(Backbone):
    """MobileFaceNet with its taps: the last outputs of 56, 28, 14 and 7 pixels."""

    def __init__(self, spec: BackboneSpec, size: Size) -> None:
        super().__init__(spec)
        narrow, wide = size.width, 2 * size.width
        self.conv1 = _conv_unit(3, narrow, 3, stride=2)
        second: Stage
        if size.blocks[0] == 1:
            # 64 groups in every size, which only the smallest makes a depthwise convolution.
            self.conv2_dw = _conv_unit(narrow, narrow, 3, groups=64)
            second = Stage(self.conv2_dw)
        else:
            second = _bottlenecks(size.blocks[0], narrow, 128)
            self.conv_2 = nn.ModuleDict({"model": second})
        self.conv_23 = Bottleneck(narrow, 128, narrow, 2)
        row_3 = _bottlenecks(size.blocks[1], narrow, 128)
        self.conv_3 = nn.ModuleDict({"model": row_3})
        self.conv_34 = Bottleneck(narrow, 256, wide, 2)
        row_4 = _bottlenecks(size.blocks[2], wide, 256)
        self.conv_4 = nn.ModuleDict({"model": row_4})
        self.conv_45 = Bottleneck(wide, 512, wide, 2)
        row_5 = _bottlenecks(size.blocks[3], wide, 256)
        self.conv_5 = nn.ModuleDict({"model": row_5})
        self.conv_6_sep = _conv_unit(wide, _LAST_CHANNELS, 1)
        # The global depthwise convolution: one weight per pixel instead of a mean.
        conv = nn.Conv2d(_LAST_CHANNELS, _LAST_CHANNELS, 7, groups=_LAST_CHANNELS, bias=False)
        self.conv_6_dw = ConvUnit(conv, nn.BatchNorm2d(_LAST_CHANNELS, _EPS), None)
        self.linear = nn.Linear(_LAST_CHANNELS, spec.embedding_size, bias=False)
        self.bn = nn.BatchNorm1d(spec.embedding_size, _EPS)

        self.stages = (
            Stage(self.conv1, *second),
            Stage(self.conv_23, *row_3),
            Stage(self.conv_34, *row_4),
            Stage(self.conv_45, *row_5, self.conv_6_sep),
            Stage(self.conv_6_dw),
        )

    def embed(self, features: Tensor) -> Tensor:
        """[N, 512] -> [N, embedding_size]."""
        return self.bn(self.linear(features))  # type: ignore[no-any-return]


def _conv_unit(
    c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1, *, linear: bool = False
) -> ConvUnit:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return ConvUnit(conv, nn.BatchNorm2d(c_out, _EPS), None if linear else nn.PReLU(c_out))


def _bottlenecks(count: int, channels: int, hidden: int) -> Stage:
    return Stage(*(Bottleneck(channels, hidden, channels, 1) for _ in range(count)))


def _spec(name: str, title: str, source: str) -> BackboneSpec:
    size = SIZES[name]
    return BackboneSpec(
        name=name,
        title=title,
        source=f"bring a file of your own: {source}",
        licence="that of the file",
        embedding_size=512,
        dropout=0.0,
        taps={
            "b1": f"{'conv2_dw' if size.blocks[0] == 1 else 'conv_2'}: the last output of 56x56,"
            f" {size.width} channels",
            "b2": f"conv_3: the last output of 28x28, {size.width} channels",
            "b3": f"conv_4: the last output of 14x14, {2 * size.width} channels",
            "b4": f"conv_6_sep: the last output of 7x7, {_LAST_CHANNELS} channels",
        },
    )


SPECS = (
    _spec("mobilefacenet", "MobileFaceNet", "a release of face.evoLVe or eDifFIQA(T)"),
    _spec("mobilefacenet-x2", "MobileFaceNet, twice as wide", "arcface_torch's mbf"),
    _spec("mobilefacenet-large", "MobileFaceNet, large", "arcface_torch's mbf_large"),
    replace(
        _spec(
            "mobilefacenet",
            "MobileFaceNet of InsightFace_Pytorch",
            "InsightFace_Pytorch's release",
        ),
        name=_BGR,
        input=InputSpec(channel_order="BGR"),
    ),
)


def skeleton(name: str) -> Backbone:
    """The network of that name, its parameters not set."""
    return _network(name, 512)


def recognise(
    parts: CheckpointParts, name: str | None
) -> tuple[Backbone, Mapping[str, Tensor]] | None:
    """The MobileFaceNet that the tensors are of: size and embedding from keys and shapes.

    InsightFace_Pytorch's files are told by `name` alone.
    """
    if parts.file.graph is not None:
        onnx = read_mobilefacenet(parts.file)
        return None if onnx is None else _from_onnx(onnx, name)
    tensors = parts.network
    if {"layers.0.layers.0.weight", "features.layers.2.weight"} <= tensors.keys():
        names = _names_here()
        tensors = {names.get(there, there): tensor for there, tensor in tensors.items()}
    if not {"conv1.conv.weight", "conv_6_dw.conv.weight", "linear.weight"} <= tensors.keys():
        return None
    found = _name_of(_size(tensors), name)
    return None if found is None else (_network(found, tensors["linear.weight"].shape[0]), tensors)


def _from_onnx(onnx: OnnxNetwork, name: str | None) -> tuple[MobileFaceNet, Mapping[str, Tensor]]:
    size = _size(onnx.tensors)
    found = _name_of(size, name)
    if found is None:
        known = "; ".join(f"{s.width} channels, {s.blocks} units" for s in SIZES.values())
        raise WeightsError(
            f"weights: expected a MobileFaceNet of a known size ({known}), got {onnx.path} with"
            f" {size.width} channels, {size.blocks} units; bring a file of one of these sizes"
        )
    if not onnx.has_epsilon(_EPS):
        raise WeightsError(
            f"weights: expected BatchNorm layers with epsilon {_EPS:g} in {found}, got {onnx.path}"
            f" with {', '.join(f'{eps:g}' for eps in sorted(onnx.epsilons))}; bring another export"
        )
    network = _network(found, onnx.tensors["linear.weight"].shape[0])
    if onnx.folded:
        network.bn_statistics = "none"
    return network, onnx.seeing(network.spec.input).tensors


def _size(tensors: Mapping[str, Tensor]) -> Size:
    first = 1 if "conv2_dw.conv.weight" in tensors else count_blocks(tensors, "conv_2.model.")
    third, fourth, fifth = (count_blocks(tensors, f"conv_{i}.model.") for i in (3, 4, 5))
    return Size(tensors["conv1.conv.weight"].shape[0], (first, third, fourth, fifth))


def _name_of(size: Size, name: str | None) -> str | None:
    """The network of that size; None if there is none."""
    found = next((n for n, s in SIZES.items() if s == size), None)
    return _BGR if name == _BGR and found == "mobilefacenet" else found


def _network(name: str, embedding_size: int) -> MobileFaceNet:
    spec = next(s for s in SPECS if s.name == name)
    size = SIZES["mobilefacenet" if name == _BGR else name]
    return MobileFaceNet(replace(spec, embedding_size=embedding_size), size)


def _names_here() -> dict[str, str]:
    """arcface_torch's name of every tensor -> its name here."""
    return {_name_there(n): n for name in SIZES for n in skeleton(name).state_dict()}


def _name_there(name: str) -> str:
    unit, *layers = name.split(".")
    return ".".join([_UNITS_THERE[unit], *(_LAYERS_THERE.get(part, part) for part in layers)])
