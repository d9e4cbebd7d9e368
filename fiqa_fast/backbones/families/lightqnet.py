"""LightQNet: a small network that gives a quality and no embedding, in three widths.

Chen et al., "LightQNet: Lightweight Deep Face Quality Assessment for Risk-Controlled Face
Recognition" (IEEE Signal Processing Letters 2021). Like MobileNetV3 (Howard et al., ICCV 2019), but
without squeeze-and-excitation and with ReLU only. Released as frozen graphs of TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.checkpoint_parts import CheckpointParts
from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.layers.pooling import GlobalAverageUnit
from fiqa_fast.backbones.layers.same_padding import SameConv2d
from fiqa_fast.backbones.layers.tensorflow_layout import to_torch
from fiqa_fast.backbones.layers.units import BatchNormObserver, ConvUnit, Stage, Unit
from fiqa_fast.errors import InvalidArgumentError

# Inverted residual units: channels at width 1, expansion of the input channels (1: no such layer),
# stride. Units 0, 1, 3 and 8 halve the resolution, and the stages end in front of them.
_UNITS = (
    (16, 1, 2),
    (24, 72 / 16, 2), (24, 88 / 24, 1),
    (40, 4, 2), (40, 6, 1), (40, 6, 1), (48, 3, 1), (48, 3, 1),
    (96, 6, 2), (96, 6, 1), (96, 6, 1),
)  # fmt: skip
_STAGE_ENDS = (0, 1, 3, 8)
_STEM, _LAST_EXPANSION = 16, 6
_EPS = 1.9999999494757503e-05  # the graphs' float32 value of 0.00002

# Depth multipliers of the released files.
_WIDTHS = {"lightqnet-dm100": 1.0, "lightqnet-dm050": 0.5, "lightqnet-dm025": 0.25}


class InvertedResidual(Unit):
    """1x1 convolution to more channels, depthwise 3x3 convolution, 1x1 convolution to fewer.

    The input is added where the shape stays the same.
    """

    def __init__(self, c_in: int, c_middle: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.expand = None if c_middle == c_in else _conv_unit(c_in, c_middle, 1)
        self.depthwise = _conv_unit(c_middle, c_middle, 3, stride, groups=c_middle)
        self.project = _conv_unit(c_middle, c_out, 1, activation=False)
        self.adds_input = stride == 1 and c_in == c_out

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', ceil(H / stride), ceil(W / stride)]."""
        y: Tensor = x if self.expand is None else self.expand(x, observe)
        y = self.depthwise(y, observe)
        y = self.project(y, observe)
        return x + y if self.adds_input else y


class LightQNet(Backbone):
    """LightQNet with taps in front of each halving of the resolution."""

    def __init__(self, spec: BackboneSpec, width: float) -> None:
        super().__init__(spec)
        channels = _rounded(_STEM * width)
        self.stem = _conv_unit(3, channels, 3)
        self.units = nn.ModuleList()
        for c_base, expansion, stride in _UNITS:
            c_out = _rounded(c_base * width)
            middle = channels if expansion == 1 else _rounded(channels * expansion)
            self.units.append(InvertedResidual(channels, middle, c_out, stride))
            channels = c_out
        self.last = _conv_unit(channels, channels * _LAST_EXPANSION, 1)
        first, second, third, fourth = _STAGE_ENDS
        self.stages = (
            Stage(self.stem),
            Stage(*self.units[first:second]),
            Stage(*self.units[second:third]),
            Stage(*self.units[third:fourth]),
            Stage(*self.units[fourth:], self.last, GlobalAverageUnit()),
        )

    def embed(self, features: Tensor) -> Tensor:
        """Refuses: the network was trained for a quality alone.

        Raises:
            InvalidArgumentError: always.
        """
        raise InvalidArgumentError(
            f"{self.spec.name}: expected a method that reads the network's quality, got one that"
            " needs an embedding, which this network does not have; choose a recognition network"
        )


def _spec(name: str, width: float) -> BackboneSpec:
    channels = [_rounded(_STEM * width)]
    channels += [_rounded(_UNITS[i - 1][0] * width) for i in (1, 3, 8)]
    where = ("the first convolution", "unit 0", "unit 2", "unit 7")
    return BackboneSpec(
        name=name,
        title=f"LightQNet, depth multiplier {width:g}",
        source=f"{name}.pb of the authors' release",
        licence="MIT",
        embedding_size=0,
        dropout=0.0,
        taps={
            f"b{i}": f"{layer}: {c} channels of {size}x{size}"
            for i, layer, c, size in zip(
                range(1, 5), where, channels, (96, 48, 24, 12), strict=True
            )
        },
        input=InputSpec(96, 96, "resize", "BGR", pixel_mean=128.0, pixel_scale=128.0),
    )


def _rounded(channels: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth smaller (MobileNet's rule)."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


SPECS = tuple(_spec(name, width) for name, width in _WIDTHS.items())


def skeleton(name: str) -> Backbone:
    """The network of that name, its parameters not set."""
    return LightQNet(next(s for s in SPECS if s.name == name), _WIDTHS[name])


def recognise(
    parts: CheckpointParts, name: str | None
) -> tuple[Backbone, Mapping[str, Tensor]] | None:
    """The LightQNet whose last layer has the width of the file's, from either kind of names."""
    tensors = parts.network
    if f"{_TF_TRUNK}Conv_1/weights" in tensors:
        tensors = {
            new: to_torch(tensors[old]) for new, old in _tensorflow_names() if old in tensors
        }
    if not {"last.conv.weight", "units.10.project.conv.weight"} <= tensors.keys():
        return None
    for candidate in _WIDTHS:
        network = skeleton(candidate)
        if network.state_dict()["last.conv.weight"].shape == tensors["last.conv.weight"].shape:
            return network, tensors
    return None


_TF_TRUNK = "UncertaintyModule/MobilenetV3/"
_TF_BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def _tensorflow_names() -> Iterator[tuple[str, str]]:
    """Name here, name in the released graphs."""
    layers = {"stem": ("Conv", "weights"), "last": ("Conv_1", "weights")}
    for i in range(len(_UNITS)):
        unit = f"expanded_conv_{i}" if i else "expanded_conv"
        layers[f"units.{i}.expand"] = (f"{unit}/expand", "weights")
        layers[f"units.{i}.depthwise"] = (f"{unit}/depthwise", "depthwise_weights")
        layers[f"units.{i}.project"] = (f"{unit}/project", "weights")
    for new, (old, kernel) in layers.items():
        yield f"{new}.conv.weight", f"{_TF_TRUNK}{old}/{kernel}"
        for here, there in _TF_BATCH_NORM.items():
            yield f"{new}.bn.{here}", f"{_TF_TRUNK}{old}/BatchNorm/{there}"
    yield "confidence.weight", "UncertaintyModule/Bottleneck/weights"
    yield "confidence.bias", "UncertaintyModule/Bottleneck/biases"


def _conv_unit(
    c_in: int, c_out: int, kernel: int, stride: int = 1, *, groups: int = 1, activation: bool = True
) -> ConvUnit:
    conv = SameConv2d(c_in, c_out, kernel, stride, groups)
    return ConvUnit(conv, nn.BatchNorm2d(c_out, _EPS), nn.ReLU() if activation else None)
