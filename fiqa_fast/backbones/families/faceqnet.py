"""FaceQnet: a ResNet-50 that was trained for recognition, with a head that was trained for quality.

Hernandez-Ortega et al., "FaceQnet: Quality Assessment for Face Recognition based on Deep Learning"
(ICB 2019; version 0), and "Biometric Quality: Review and Application to Face Recognition with
FaceQnet" (2020; version 1). Released as whole Keras models. The layers up to the average are those
of Cao et al., "VGGFace2: A Dataset for Recognising Faces across Pose and Age" (FG 2018), under the
names that their conversion from Caffe gave them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.checkpoint_parts import CheckpointParts
from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.layers.keras_dense_layers import dense_layers_after
from fiqa_fast.backbones.layers.pooling import GlobalAverageUnit, MaxPoolUnit
from fiqa_fast.backbones.layers.same_padding import SameConv2d
from fiqa_fast.backbones.layers.tensorflow_layout import to_torch
from fiqa_fast.backbones.layers.units import BatchNormObserver, ConvUnit, Shortcut, Stage, Unit

# Units of each layer, and the channels of their 3x3 convolution; they end with four times as many.
_LAYERS = ((3, 64), (4, 128), (6, 256), (3, 512))
_EXPANSION = 4
_STEM_CHANNELS = 64
_EPS = 1e-3  # Keras' default

SPEC = BackboneSpec(
    name="faceqnet",
    title="FaceQnet (ResNet-50, VGGFace2)",
    source="bring a file of your own: FaceQnet.h5 (version 0) or FaceQnet_v1.h5 of its release",
    licence="free for non-profit projects, says its first author; no licence file",
    embedding_size=2048,
    dropout=0.0,
    taps={
        "b1": "layer1: 256 channels of 55x55",
        "b2": "layer2: 512 channels of 28x28",
        "b3": "layer3: 1024 channels of 14x14",
        "b4": "layer4: 2048 channels of 7x7",
    },
    input=InputSpec(224, 224, "resize", "BGR", pixel_mean=0.0, pixel_scale=1.0),
)
SPECS = (SPEC,)


class Bottleneck(Unit):
    """1x1 convolution to fewer channels with the stride, 3x3, 1x1 to more; plus the input.

    He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016).
    """

    def __init__(self, c_in: int, c_middle: int, stride: int, *, projects: bool) -> None:
        super().__init__()
        c_out = c_middle * _EXPANSION
        self.reduce = _conv_unit(c_in, c_middle, 1, stride)
        self.middle = _conv_unit(c_middle, c_middle, 3)
        self.increase = _conv_unit(c_middle, c_out, 1, activation=False)
        self.project = Shortcut(c_in, c_out, stride, _EPS) if projects else None

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', ceil(H / stride), ceil(W / stride)]."""
        y = self.reduce(x, observe)
        y = self.middle(y, observe)
        y = self.increase(y, observe)
        return torch.relu(y + (x if self.project is None else self.project(x, observe)))


class FaceQnet(Backbone):
    """FaceQnet's ResNet-50 with its taps at the ends of layer1..layer4.

    The embedding is each channel's mean: what the head reads.
    """

    def __init__(self) -> None:
        super().__init__(SPEC)
        self.stem = _conv_unit(3, _STEM_CHANNELS, 7, 2)
        channels, layers = _STEM_CHANNELS, []
        for number, (count, c_middle) in enumerate(_LAYERS):
            stride = 2 if number else 1
            units = [Bottleneck(channels, c_middle, stride, projects=True)]
            channels = c_middle * _EXPANSION
            units += [Bottleneck(channels, c_middle, 1, projects=False) for _ in range(count - 1)]
            layers.append(Stage(*units))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.stages = (
            Stage(self.stem, MaxPoolUnit(), *self.layer1),
            self.layer2,
            self.layer3,
            self.layer4,
            Stage(GlobalAverageUnit()),
        )

    def embed(self, features: Tensor) -> Tensor:
        """[N, 2048] (each channel's mean) -> the same."""
        return features


def skeleton(name: str) -> Backbone:
    """The network, its parameters not set."""
    return FaceQnet()


def recognise(
    parts: CheckpointParts, name: str | None
) -> tuple[Backbone, Mapping[str, Tensor]] | None:
    """FaceQnet where the tensors have its names here, or those of the released Keras models."""
    tensors = parts.network
    if {"layer4.2.increase.conv.weight", "layer4.2.middle.bn.weight"} <= tensors.keys():
        return FaceQnet(), tensors
    plain = {_SCOPE_NUMBER.sub("", old) for old in tensors}
    if not {"conv5_3_1x1_increase/kernel:0", "conv5_3_3x3/bn/gamma:0"} <= plain:
        return None
    names = dict(_keras_names())
    head = dense_layers_after("avg_pool", parts.file)
    for number, (layer, activation) in enumerate(head):
        for here, there in (("weight", "kernel"), ("bias", "bias")):
            names[f"{layer}/{there}:0"] = f"dense.{number}_{activation}.{here}"
    own = {}
    for old, tensor in tensors.items():
        new = names.get(old) or names.get(_SCOPE_NUMBER.sub("", old))
        # What has no name here keeps its own, so that the loader reports it.
        own[old if new is None or new in own else new] = to_torch(tensor)
    return FaceQnet(), own


# Keras numbers the weights of a model that was built for a second time in one session of
# TensorFlow 1: "conv2_1_3x3_1/kernel:0".
_SCOPE_NUMBER = re.compile(r"_\d+(?=/[a-z_]+:0$)")
_KERAS_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _keras_names() -> Iterator[tuple[str, str]]:
    """Name in the Keras model, name here."""
    pairs = [("conv1/7x7_s2", "stem.conv", "stem.bn")]
    for number, (count, _) in enumerate(_LAYERS, 1):
        for i in range(count):
            # Keras counts the stem as the first layer, and its units from 1.
            old, new = f"conv{number + 1}_{i + 1}", f"layer{number}.{i}"
            pairs += [
                (f"{old}_1x1_reduce", f"{new}.reduce.conv", f"{new}.reduce.bn"),
                (f"{old}_3x3", f"{new}.middle.conv", f"{new}.middle.bn"),
                (f"{old}_1x1_increase", f"{new}.increase.conv", f"{new}.increase.bn"),
                (f"{old}_1x1_proj", f"{new}.project.0", f"{new}.project.1"),
            ]
    for old, conv, bn in pairs:
        yield f"{old}/kernel:0", f"{conv}.weight"
        for there, here in _KERAS_BATCH_NORM.items():
            yield f"{old}/bn/{there}:0", f"{bn}.{here}"


def _conv_unit(
    c_in: int, c_out: int, kernel: int, stride: int = 1, *, activation: bool = True
) -> ConvUnit:
    conv = SameConv2d(c_in, c_out, kernel, stride)
    return ConvUnit(conv, nn.BatchNorm2d(c_out, _EPS), nn.ReLU() if activation else None)
