"""IR, the improved residual network with 50, 101 or 152 layers, in the key layout of face.evoLVe.

Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (CVPR 2019); with or
without squeeze-and-excitation. SDD-FIQA releases the 50 layers with a quality head in place of the
embedding. The recognition networks differ in little:

- CurricularFace: the last BatchNorm1d has no weights; dropout .4.
- face.evoLVe: that layer has weights; dropout .5.
- InsightFace_Pytorch: as face.evoLVe, but trained on BGR images, with dropout .6. A file does not
  show this: ask for "ir50-bgr" by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone, BackboneSpec
from fiqa_fast.backbones.checkpoint_parts import CheckpointParts, count_blocks
from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.layers.units import (
    BatchNormObserver,
    BatchNormUnit,
    Shortcut,
    SqueezeExcitation,
    Stage,
    Unit,
    normalise,
)
from fiqa_fast.errors import InvalidArgumentError

BLOCKS = {
    "ir50": (3, 4, 14, 3),
    "ir101": (3, 13, 30, 3),
    "ir152": (3, 8, 36, 3),
}
_CHANNELS = (64, 128, 256, 512)
_FEATURES = 512 * 7 * 7
_EPS = 1e-5
_DROPOUT, _AFFINE_DROPOUT, _BGR_DROPOUT = 0.4, 0.5, 0.6

_BGR = "ir50-bgr"  # InsightFace_Pytorch
_SDD_FIQA = "sdd-ir50"


class LayerRow(nn.Sequential):
    """Layers in a row, named by their positions."""

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H / stride, W / stride]."""
        for layer in self:
            x = normalise(layer, x, observe) if isinstance(layer, nn.BatchNorm2d) else layer(x)
        return x


class ResidualUnit(Unit):
    """BN, conv 3x3, PReLU, conv 3x3 with the stride, BN, plus the skip connection."""

    def __init__(self, c_in: int, c_out: int, stride: int, se: int | None) -> None:
        super().__init__()
        self.stride = stride
        self.shortcut_layer = Shortcut(c_in, c_out, stride, _EPS) if c_in != c_out else None
        self.res_layer = LayerRow(
            nn.BatchNorm2d(c_in, _EPS),
            nn.Conv2d(c_in, c_out, 3, 1, 1, bias=False),
            nn.PReLU(c_out),
            nn.Conv2d(c_out, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out, _EPS),
        )
        if se is not None:
            self.res_layer.append(SqueezeExcitation(c_out, se))

    def forward(self, x: Tensor, observe: BatchNormObserver | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H / stride, W / stride]."""
        if self.shortcut_layer is None:  # released as max pooling over single pixels
            skip = x[:, :, :: self.stride, :: self.stride]
        else:
            skip = self.shortcut_layer(x, observe)
        return self.res_layer(x, observe) + skip  # type: ignore[no-any-return]


class _Body(Backbone):
    """What the networks share: everything up to tap b4, the last activation of 7x7."""

    def __init__(self, spec: BackboneSpec, blocks: Sequence[int], se_reduction: int | None) -> None:
        super().__init__(spec)
        self.input_layer = LayerRow(
            nn.Conv2d(3, _CHANNELS[0], 3, 1, 1, bias=False),
            nn.BatchNorm2d(_CHANNELS[0], _EPS),
            nn.PReLU(_CHANNELS[0]),
        )
        units: list[ResidualUnit] = []
        for (c_in, c_out), count in zip(pairwise((_CHANNELS[0], *_CHANNELS)), blocks, strict=True):
            se = se_reduction and c_out // se_reduction
            units.append(ResidualUnit(c_in, c_out, 2, se))
            units += [ResidualUnit(c_out, c_out, 1, se) for _ in range(count - 1)]
        self.body = nn.Sequential(*units)

    def _four_stages(self, blocks: Sequence[int]) -> tuple[Stage, Stage, Stage, Stage]:
        """The body, cut at the taps."""
        units = list(self.body)
        first, second, third, fourth = (
            units[start:end] for start, end in pairwise((0, *accumulate(blocks)))
        )
        return Stage(self.input_layer, *first), Stage(*second), Stage(*third), Stage(*fourth)


class IR(_Body):
    """The recognition network.

    Args:
        spec: its facts.
        blocks: residual units with 64, 128, 256 and 512 channels.
        se_reduction: divides the channels inside squeeze-and-excitation; None without that.
        affine: whether the last BatchNorm1d has weights of its own.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        blocks: Sequence[int],
        se_reduction: int | None,
        *,
        affine: bool,
    ) -> None:
        super().__init__(spec, blocks, se_reduction)
        bn = nn.BatchNorm2d(_CHANNELS[-1], _EPS)
        # Released as a Sequential of BatchNorm, dropout, flatten, linear layer and BatchNorm.
        self.output_layer = nn.ModuleDict(
            {
                "0": bn,
                "3": nn.Linear(_FEATURES, spec.embedding_size),
                "4": nn.BatchNorm1d(spec.embedding_size, _EPS, affine=affine),
            }
        )
        self.stages = (*self._four_stages(blocks), Stage(BatchNormUnit(bn)))

    def embed(self, features: Tensor) -> Tensor:
        """[N, 25088] (channels, rows, columns of the last activation) -> [N, embedding_size]."""
        linear, bn = self.output_layer["3"], self.output_layer["4"]
        return bn(linear(features))  # type: ignore[no-any-return]


class SddFiqaIR(_Body):
    """SDD-FIQA's network: the features are tap b4 itself, and only its quality head reads them."""

    def __init__(self, spec: BackboneSpec, blocks: Sequence[int]) -> None:
        super().__init__(spec, blocks, None)
        self.stages = (*self._four_stages(blocks), Stage())

    def embed(self, features: Tensor) -> Tensor:
        """There is no embedding.

        Raises:
            InvalidArgumentError: always.
        """
        raise InvalidArgumentError(
            f"embed: expected a network that gives an embedding, got {self.spec.name}, which has"
            " none; choose a recognition network"
        )


def _spec(name: str) -> BackboneSpec:
    layers = name.removeprefix("ir")
    return BackboneSpec(
        name=name,
        title=f"IR, {layers} layers",
        source="bring a file of your own: a release in face.evoLVe's key layout",
        licence="that of the file",
        embedding_size=512,
        dropout=_DROPOUT,
        taps={
            f"b{i}": f"body.{end - 1}: {c} channels of {size}x{size}"
            for i, end, c, size in zip(
                range(1, 5), accumulate(BLOCKS[name]), _CHANNELS, (56, 28, 14, 7), strict=True
            )
        },
    )


SPECS = (
    *map(_spec, BLOCKS),
    replace(
        _spec("ir50"),
        name=_BGR,
        title="IR, 50 layers, of InsightFace_Pytorch",
        source="bring a file of your own: InsightFace_Pytorch's release",
        dropout=_BGR_DROPOUT,
        input=InputSpec(channel_order="BGR"),
    ),
    replace(
        _spec("ir50"),
        name=_SDD_FIQA,
        title="SDD-FIQA IR, 50 layers",
        source="bring a file of your own: SDD-FIQA's release",
        licence="that of the file; SDD-FIQA's repository is Apache-2.0",
        embedding_size=0,
        dropout=0.0,
    ),
)


def skeleton(name: str) -> Backbone:
    """The network of that name as CurricularFace lays it out, its parameters not set."""
    spec = next(s for s in SPECS if s.name == name)
    if name == _SDD_FIQA:
        return SddFiqaIR(spec, BLOCKS["ir50"])
    return IR(spec, BLOCKS[name.removesuffix("-bgr")], None, affine=False)


def recognise(
    parts: CheckpointParts, name: str | None
) -> tuple[Backbone, Mapping[str, Tensor]] | None:
    """The IR that the tensors are of: depth, embedding and SE from keys and shapes.

    InsightFace_Pytorch's files are told by `name` alone.
    """
    tensors = parts.network
    if not {"input_layer.0.weight", "body.0.res_layer.1.weight"} <= tensors.keys():
        return None
    count = count_blocks(tensors, "body.")
    depth = next((n for n, blocks in BLOCKS.items() if sum(blocks) == count), None)
    if depth is None:
        return None
    if "output_layer.3.weight" not in tensors:
        is_sdd_fiqa = depth == "ir50" and "quality.3.weight" in tensors
        return (skeleton(_SDD_FIQA), tensors) if is_sdd_fiqa else None
    affine = "output_layer.4.weight" in tensors
    spec = next(s for s in SPECS if s.name == (_BGR if (name, depth) == (_BGR, "ir50") else depth))
    if affine and spec.name != _BGR:
        spec = replace(spec, dropout=_AFFINE_DROPOUT)
    spec = replace(spec, embedding_size=tensors["output_layer.3.weight"].shape[0])
    se = tensors.get("body.0.res_layer.5.fc1.weight")
    se_reduction = None if se is None else _CHANNELS[0] // se.shape[0]
    return IR(spec, BLOCKS[depth], se_reduction, affine=affine), tensors
