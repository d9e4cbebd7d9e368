"""SphereFace: residual convolutions with PReLU and without BatchNorm, on a narrow crop.

Liu et al., "SphereFace: Deep Hypersphere Embedding for Face Recognition" (CVPR 2017), as Shi and
Jain released it for "Probabilistic Face Embeddings" (ICCV 2019, MIT) in TensorFlow, with 64
layers. Their checkpoint must be frozen to one .pb file first; it carries PFE's uncertainty module
beside the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.checkpoint_parts import CheckpointParts, count_blocks
from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.layers.units import BatchNormObserver, Stage, Unit

# Residual units behind the down-sampling convolution of each stage.
BLOCKS = {
    "sphereface4": (0, 0, 0, 0),
    "sphereface10": (0, 1, 2, 0),
    "sphereface20": (1, 2, 4, 1),
    "sphereface36": (2, 4, 8, 2),
    "sphereface64": (3, 8, 16, 3),
}
_CHANNELS = (64, 128, 256, 512)
_SIZES = ("56x48", "28x24", "14x12", "7x6")
_FEATURE_ROWS, _FEATURE_COLUMNS = 7, 6
_FEATURES = _CHANNELS[-1] * _FEATURE_ROWS * _FEATURE_COLUMNS
_EPS = 1e-3


class DownsamplingUnit(Unit):
    """Convolution 3x3 with stride 2 and bias, PReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, 2)
        self.prelu = nn.PReLU(c_out)

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H / 2, W / 2], H and W even."""
        # TensorFlow's "SAME" pads an even size at the right and the bottom only.
        return self.prelu(self.conv(F.pad(x, (0, 1, 0, 1))))  # type: ignore[no-any-return]


class ResidualUnit(Unit):
    """Twice convolution 3x3 without bias and PReLU, plus the skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.prelu1 = nn.PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.prelu2 = nn.PReLU(channels)

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        return x + self.prelu2(self.conv2(self.prelu1(self.conv1(x))))  # type: ignore[no-any-return]


class SphereFace(Backbone):
    """SphereFace with its taps at the ends of conv1..conv4, the last of which is the features."""

    def __init__(self, spec: BackboneSpec, blocks: tuple[int, ...]) -> None:
        super().__init__(spec)
        inputs = (3, *_CHANNELS)
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            Stage(DownsamplingUnit(c_in, c_out), *(ResidualUnit(c_out) for _ in range(count)))
            for c_in, c_out, count in zip(inputs, _CHANNELS, blocks, strict=False)
        )
        self.fc = nn.Linear(_FEATURES, spec.embedding_size, bias=False)
        self.bn = nn.BatchNorm1d(spec.embedding_size, _EPS)
        self.stages = (self.conv1, self.conv2, self.conv3, self.conv4, Stage())

    def embed(self, features: Tensor) -> Tensor:
        """[N, 21504] (channels, rows, columns of the last activation) -> [N, embedding_size]."""
        return self.bn(self.fc(features))  # type: ignore[no-any-return]


def _spec(name: str) -> BackboneSpec:
    return BackboneSpec(
        name=name,
        title=f"SphereFace, {name.removeprefix('sphereface')} layers",
        source="bring a file of your own: PFE's release, frozen to one .pb file",
        licence="that of the file; PFE's is MIT",
        embedding_size=512,
        dropout=0.0,
        taps={
            f"b{i}": f"conv{i}: {c} channels of {size}"
            for i, c, size in zip(range(1, 5), _CHANNELS, _SIZES, strict=True)
        },
        input=InputSpec(112, 96, "centre", pixel_scale=128.0),
    )


SPECS = tuple(_spec(name) for name in BLOCKS)


def skeleton(name: str) -> Backbone:
    """The network of that name, its parameters not set."""
    return _network(name, 512)


def recognise(
    parts: CheckpointParts, name: str | None
) -> tuple[Backbone, Mapping[str, Tensor]] | None:
    """SphereFace where the tensors have its names, or those of PFE's TensorFlow graph."""
    tensors = parts.network
    if tensors.keys() >= _TENSORFLOW_MARKS:
        tensors = dict(_from_tensorflow(tensors))
    if not {"conv4.0.conv.weight", "fc.weight", "bn.running_mean"} <= tensors.keys():
        return None
    blocks = tuple(count_blocks(tensors, f"conv{i}.") - 1 for i in range(1, 5))
    known = next((n for n, b in BLOCKS.items() if b == blocks), None)
    if known is None:
        return None
    return _network(known, len(tensors["fc.weight"])), tensors


def _network(name: str, embedding_size: int) -> SphereFace:
    spec = next(s for s in SPECS if s.name == name)
    return SphereFace(replace(spec, embedding_size=embedding_size), BLOCKS[name])


# TensorFlow's names: `SphereNet/conv1/Conv` is the down-sampling convolution of stage 1, and
# `Conv_1`, `Conv_2`, ... are those of its residual units, two each.
_CONVOLUTION = "SphereNet/conv{stage}/Conv{number}"
_BOTTLENECK = "SphereNet/Bottleneck"
_FC1, _FC2 = "UncertaintyModule/fc1", "UncertaintyModule/fc_log_sigma_sq"
_MATRICES = {
    "fc.weight": f"{_BOTTLENECK}/weights",
    "pfe.fc1.weight": f"{_FC1}/weights",
    "pfe.fc2.weight": f"{_FC2}/weights",
}
_VECTORS = {
    "bn.bias": f"{_BOTTLENECK}/BatchNorm/beta",
    "bn.running_mean": f"{_BOTTLENECK}/BatchNorm/moving_mean",
    "bn.running_var": f"{_BOTTLENECK}/BatchNorm/moving_variance",
    "pfe.bn1.weight": f"{_FC1}/BatchNorm/gamma",
    "pfe.bn1.bias": f"{_FC1}/BatchNorm/beta",
    "pfe.bn1.running_mean": f"{_FC1}/BatchNorm/moving_mean",
    "pfe.bn1.running_var": f"{_FC1}/BatchNorm/moving_variance",
    "pfe.bn2.running_mean": f"{_FC2}/BatchNorm/moving_mean",
    "pfe.bn2.running_var": f"{_FC2}/BatchNorm/moving_variance",
    "pfe.scale": "UncertaintyModule/scale_and_shift/alpha",
    # The authors' variable of the shift is called gamma.
    "pfe.shift": "UncertaintyModule/scale_and_shift/gamma",
}
_TENSORFLOW_MARKS = {_MATRICES["fc.weight"], _VECTORS["bn.bias"]}


def _from_tensorflow(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Names and layouts here, of those tensors that the network and PFE's module have."""
    for stage in range(1, 5):
        for number in range(1 + 2 * max(BLOCKS["sphereface64"])):
            theirs = _CONVOLUTION.format(stage=stage, number=f"_{number}" if number else "")
            unit, second = divmod(number + 1, 2)
            which = str(second + 1) if unit else ""
            ours = f"conv{stage}.{unit}"
            if f"{theirs}/weights" in tensors:
                yield f"{ours}.conv{which}.weight", _kernel(tensors[f"{theirs}/weights"])
            if f"{theirs}/biases" in tensors:
                yield f"{ours}.conv{which}.bias", tensors[f"{theirs}/biases"]
            if f"{theirs}/p_re_lu/alpha" in tensors:
                yield f"{ours}.prelu{which}.weight", tensors[f"{theirs}/p_re_lu/alpha"].flatten()
    for ours, theirs in _MATRICES.items():
        if theirs in tensors:
            yield ours, _matrix(tensors[theirs])
    for ours, theirs in _VECTORS.items():
        if theirs in tensors:
            yield ours, tensors[theirs]
    # The authors' last BatchNorm has no scale.
    yield "bn.weight", torch.ones_like(tensors[_VECTORS["bn.bias"]], device="cpu")


def _kernel(weight: Tensor) -> Tensor:
    """Rows, columns, in, out -> out, in, rows, columns; wrong ranks are left to be reported."""
    return weight.permute(3, 2, 0, 1) if weight.ndim == 4 else weight


def _matrix(weight: Tensor) -> Tensor:
    """In, out -> out, in; what reads the features, from channels last to channels first."""
    if weight.ndim != 2 or len(weight) != _FEATURES:
        return weight.mT if weight.ndim == 2 else weight
    shape = (_FEATURE_ROWS, _FEATURE_COLUMNS, _CHANNELS[-1], -1)
    return weight.reshape(shape).permute(3, 2, 0, 1).flatten(1)
