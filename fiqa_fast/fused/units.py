"""The units of a network as fused operators: forward, back, and for differences.

A unit's output is y; the BatchNorm layer that the *next* unit begins with ("following") is applied
in the pass that writes y, and its statistics are gathered there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn

from fiqa_fast.backbones.families.iresnet import ResidualUnit
from fiqa_fast.backbones.layers.units import BatchNormUnit, ConvUnit
from fiqa_fast.fused.batch_norm import FusedBatchNorm
from fiqa_fast.fused.convolution import LinearMap, Size, convolution, input_gradient, output_size
from fiqa_fast.ops.bn_add_bn import bn_add_bn, bn_add_bn_backward
from fiqa_fast.ops.bn_prelu import bn_prelu, bn_prelu_backward
from fiqa_fast.ops.prelu_difference import prelu_difference, prelu_difference_backward

Kept = tuple[Tensor, ...]
"""BatchNorm inputs [N, C, H, W] that a unit leaves behind for its way back."""


@dataclass(frozen=True)
class Activation:
    """What goes from unit to unit.

    Attributes:
        value: y, [N, C, H, W] in channels_last memory.
        normalised: the following BatchNorm layer applied to it, where there is one.
    """

    value: Tensor
    normalised: Tensor | None = None


@dataclass(frozen=True)
class Columns:
    """A table [2, N, columns] of moments, or of gradient terms, by BatchNorm layer.

    Attributes:
        table: None: nothing is wanted of any layer.
        first: columns in front of it are not wanted.
    """

    table: Tensor | None = None
    first: int = 0

    def of(self, bn: FusedBatchNorm | None) -> Tensor | None:
        """[2, N, C] of one layer, None where it is not wanted."""
        if bn is None or self.table is None or bn.columns.start < self.first:
            return None
        return self.table[:, :, bn.columns]


class Tap:
    """Takes what is wanted of the gradient at one tap.

    Attributes:
        abs_sum: [N], sums of magnitudes.
        map: [N, h, w], sums over the channels; only with `wants_map`.
    """

    def __init__(self, images: int, like: Tensor, *, wants_map: bool) -> None:
        self.abs_sum = like.new_empty(images)
        self.map: Tensor | None = None
        self._wants_map = wants_map

    def see(self, total: Tensor) -> None:
        """Is shown the gradient [N, C, h, w] before it is overwritten."""
        if self._wants_map:
            self.map = total.to(self.abs_sum.dtype).abs().sum(1)


class FusedUnit(ABC):
    """A piece of a network.

    Attributes:
        leading: the BatchNorm layer that it begins with, if it does.
        following: the one that the next unit begins with, unless that applies it itself.
        normalises_itself: whether it applies its leading layer itself.
        batch_norms: (layer, H * W of its input) in the order of the pass.
        output_size: height and width of y.
    """

    leading: FusedBatchNorm | None = None
    following: FusedBatchNorm | None = None
    normalises_itself: bool = False
    batch_norms: list[tuple[FusedBatchNorm, int]]
    output_size: Size

    @abstractmethod
    def forward(self, x: Activation, moments: Columns, *, keep: bool) -> tuple[Activation, Kept]:
        """Runs the unit; with `keep` it leaves its BatchNorm inputs whole and returns them."""

    @abstractmethod
    def backward(
        self, grad: Tensor | None, y: Tensor, kept: Kept, terms: Columns, tap: Tap | None
    ) -> Tensor | None:
        """Takes the gradient at y, less what the following layer's statistics add, to x.

        Args:
            grad: like y, is overwritten; None: 0.
            y: the unit's output.
            kept: what `forward` returned.
            terms: of the statistics loss, see `StatisticsTable.gradient_terms`.
            tap: is told of the whole gradient at y.

        Returns:
            The gradient at x, less what the leading layer's statistics add.
        """

    @abstractmethod
    def difference(self, d: Tensor, kept: Kept) -> tuple[Tensor, Kept]:
        """Takes differences at x to differences at y: [N * k, ...], is overwritten; and masks."""

    @abstractmethod
    def difference_backward(self, grad: Tensor, masks: Kept) -> Tensor:
        """Takes the gradient at the differences of y, is overwritten, to those of x."""


def total_gradient(
    grad: Tensor | None, y: Tensor, terms: Tensor | None, tap: Tap | None
) -> Tensor | None:
    """The whole gradient at y: grad, in place, plus the terms of the following layer."""
    if grad is None and terms is None:
        if tap is not None:
            tap.abs_sum.zero_()
            tap.see(torch.zeros_like(y))
        return None
    total = torch.empty_like(y) if grad is None else grad
    bn_add_bn_backward(
        grad,
        None,
        None if terms is None else y,
        terms,
        total_out=total,
        abs_sum=None if tap is None else tap.abs_sum,
    )
    if tap is not None:
        tap.see(total)
    return total


class FusedBatchNormUnit(FusedUnit):
    """A BatchNorm layer by itself; the unit in front of it has applied it already."""

    def __init__(self, unit: BatchNormUnit, input_size: Size, dtypes: Dtypes, column: int) -> None:
        self.leading = FusedBatchNorm(unit.bn, dtypes.statistics, column)
        self.batch_norms = [(self.leading, input_size[0] * input_size[1])]
        self.output_size = input_size

    def forward(self, x: Activation, moments: Columns, *, keep: bool) -> tuple[Activation, Kept]:
        """See `FusedUnit`."""
        return Activation(cast("Tensor", x.normalised)), ()

    def backward(
        self, grad: Tensor | None, y: Tensor, kept: Kept, terms: Columns, tap: Tap | None
    ) -> Tensor | None:
        """See `FusedUnit`."""
        total = total_gradient(grad, y, terms.of(self.following), tap)
        return None if total is None else self._scaled(total)

    def difference(self, d: Tensor, kept: Kept) -> tuple[Tensor, Kept]:
        """See `FusedUnit`."""
        return self._scaled(d), ()

    def difference_backward(self, grad: Tensor, masks: Kept) -> Tensor:
        """See `FusedUnit`."""
        return self._scaled(grad)

    def _scaled(self, x: Tensor) -> Tensor:
        scale = cast("FusedBatchNorm", self.leading).scale
        return bn_prelu(x, scale, torch.zeros_like(scale), out=x)


class FusedConvUnit(FusedUnit):
    """Convolution, BatchNorm, PReLU (or ReLU, or nothing)."""

    def __init__(self, unit: ConvUnit, input_size: Size, dtypes: Dtypes, column: int) -> None:
        self._unit, self._input_size, self._dtype = unit, input_size, dtypes.activations
        self._bn = FusedBatchNorm(unit.bn, dtypes.statistics, column)
        self._slope = _slope(unit.prelu, self._bn.scale)
        self._conv = convolution(unit.conv, input_size, self._dtype)
        self.output_size = output_size(unit.conv, input_size)
        self.batch_norms = [(self._bn, self.output_size[0] * self.output_size[1])]

    def forward(self, x: Activation, moments: Columns, *, keep: bool) -> tuple[Activation, Kept]:
        """See `FusedUnit`."""
        c, bn = self._conv(x.value), self._bn
        y = bn_prelu(c, *bn.affine, self._slope, out=None if keep else c, moments=moments.of(bn))
        normalised = None
        if self.following is not None:
            of_y = moments.of(self.following)
            normalised = bn_prelu(y, *self.following.affine, moments=of_y)
        return Activation(y, normalised), (c,)

    def backward(
        self, grad: Tensor | None, y: Tensor, kept: Kept, terms: Columns, tap: Tap | None
    ) -> Tensor | None:
        """See `FusedUnit`."""
        (c,) = kept
        of_y, abs_sum = terms.of(self.following), None
        if grad is None or of_y is not None:
            grad = total_gradient(grad, y, of_y, tap)
        elif tap is not None:
            tap.see(grad)
            abs_sum = tap.abs_sum
        if grad is None:
            grad = torch.zeros_like(y)
        grad = bn_prelu_backward(
            grad, c, *self._bn.affine, self._slope, terms=terms.of(self._bn), out=grad,
            abs_sum=abs_sum,
        )  # fmt: skip
        return self._input_gradient(grad)

    def difference(self, d: Tensor, kept: Kept) -> tuple[Tensor, Kept]:
        """See `FusedUnit`."""
        d = self._scaled_conv(d)
        if self._slope is None:
            return d, ()
        mask = _new_mask(d)
        d = prelu_difference(d, kept[0], *self._bn.affine, self._slope, out=d, mask=mask)
        return d, (mask,)

    def difference_backward(self, grad: Tensor, masks: Kept) -> Tensor:
        """See `FusedUnit`."""
        if self._slope is not None:
            grad = prelu_difference_backward(grad, masks[0], self._slope, out=grad)
        return self._scaled_input_gradient(grad)

    @cached_property
    def _input_gradient(self) -> LinearMap:
        return input_gradient(self._unit.conv, self._input_size, self._dtype)

    @cached_property
    def _scaled_conv(self) -> LinearMap:
        scale = self._bn.scale
        return convolution(self._unit.conv, self._input_size, self._dtype, scale_out=scale)

    @cached_property
    def _scaled_input_gradient(self) -> LinearMap:
        scale = self._bn.scale
        return input_gradient(self._unit.conv, self._input_size, self._dtype, scale_out=scale)


class FusedResidualUnit(FusedUnit):
    """BatchNorm, convolution, BatchNorm, PReLU, convolution, BatchNorm; plus the skip."""

    leading: FusedBatchNorm

    def __init__(self, unit: ResidualUnit, input_size: Size, dtypes: Dtypes, column: int) -> None:
        self._unit, self._input_size, self._dtype = unit, input_size, dtypes.activations
        columns = iter(_column_starts(column, unit.bn1, unit.bn2, unit.bn3))
        bn1, bn2, bn3 = (
            FusedBatchNorm(bn, dtypes.statistics, next(columns))
            for bn in (unit.bn1, unit.bn2, unit.bn3)
        )
        self.leading, self._bn2, self._bn3 = bn1, bn2, bn3
        self._slope = cast("Tensor", _slope(unit.prelu, bn2.scale))
        self._conv1 = convolution(unit.conv1, input_size, self._dtype)
        self._middle_size = output_size(unit.conv1, input_size)
        self._conv2 = convolution(unit.conv2, self._middle_size, self._dtype)
        self.output_size = output_size(unit.conv2, self._middle_size)
        rows, columns_out = self.output_size
        self.batch_norms = [
            (bn1, input_size[0] * input_size[1]),
            (bn2, self._middle_size[0] * self._middle_size[1]),
            (bn3, rows * columns_out),
        ]
        self._skip_conv: LinearMap | None = None
        self._skip_bn: FusedBatchNorm | None = None
        if unit.downsample is not None:
            conv, bn = cast("tuple[nn.Conv2d, nn.BatchNorm2d]", tuple(unit.downsample))
            self._skip_conv = convolution(conv, input_size, self._dtype)
            self._skip_bn = FusedBatchNorm(bn, dtypes.statistics, next(columns))
            self.batch_norms.append((self._skip_bn, rows * columns_out))

    def forward(self, x: Activation, moments: Columns, *, keep: bool) -> tuple[Activation, Kept]:
        """See `FusedUnit`."""
        bn2, bn3, skip_bn, following = self._bn2, self._bn3, self._skip_bn, self.following
        c1 = self._conv1(cast("Tensor", x.normalised))
        p = bn_prelu(
            c1, *bn2.affine, self._slope, out=None if keep else c1, moments=moments.of(bn2)
        )
        c2 = self._conv2(p)
        skip = x.value if self._skip_conv is None else self._skip_conv(x.value)
        y, normalised = bn_add_bn(
            c2,
            *bn3.affine,
            skip,
            skip_bn=None if skip_bn is None else skip_bn.affine,
            next_bn=None if following is None else following.affine,
            out=None if keep else c2,
            next_out=p if not keep and p.shape == c2.shape and following is not None else None,
            x_moments=moments.of(bn3),
            skip_moments=moments.of(skip_bn),
            y_moments=moments.of(following),
        )
        return Activation(y, normalised), (c1, c2, skip)

    def backward(
        self, grad: Tensor | None, y: Tensor, kept: Kept, terms: Columns, tap: Tap | None
    ) -> Tensor | None:
        """See `FusedUnit`."""
        c1, c2, skip = kept
        of_y = terms.of(self.following)
        if grad is None:
            grad = torch.zeros_like(y)
        grad_c2 = torch.empty_like(c2)
        bn_add_bn_backward(
            grad,
            None,
            None if of_y is None else y,
            of_y,
            total_out=grad,
            x=c2,
            scale=self._bn3.scale,
            x_terms=terms.of(self._bn3),
            grad_x_out=grad_c2,
            abs_sum=None if tap is None else tap.abs_sum,
        )
        if tap is not None:
            tap.see(grad)
        grad_p = self._gradients.conv2(grad_c2)
        grad_c1 = bn_prelu_backward(
            grad_p, c1, *self._bn2.affine, self._slope, terms=terms.of(self._bn2), out=grad_p
        )
        if self._skip_bn is not None:
            grad = bn_prelu_backward(
                grad, skip, *self._skip_bn.affine, terms=terms.of(self._skip_bn), out=grad
            )
            grad = cast("LinearMap", self._gradients.skip)(grad)
        self._gradients.conv1.onto(grad, grad_c1)
        return grad

    def difference(self, d: Tensor, kept: Kept) -> tuple[Tensor, Kept]:
        """See `FusedUnit`."""
        convs = self._scaled
        u = convs.conv1(d)
        mask = _new_mask(u)
        u = prelu_difference(u, kept[0], *self._bn2.affine, self._slope, out=u, mask=mask)
        if convs.skip is not None:
            d = convs.skip(d)
        convs.conv2.onto(d, u)
        return d, (mask,)

    def difference_backward(self, grad: Tensor, masks: Kept) -> Tensor:
        """See `FusedUnit`."""
        gradients = self._scaled_gradients
        h = prelu_difference_backward(gradients.conv2(grad), masks[0], self._slope)
        if gradients.skip is not None:
            grad = gradients.skip(grad)
        gradients.conv1.onto(grad, h)
        return grad

    @cached_property
    def _gradients(self) -> _Maps:
        """With the leading BatchNorm's scale in conv1."""
        unit, size, dtype = self._unit, self._input_size, self._dtype
        skip = None
        if unit.downsample is not None:
            skip = input_gradient(cast("nn.Conv2d", unit.downsample[0]), size, dtype)
        return _Maps(
            input_gradient(unit.conv1, size, dtype, self.leading.scale),
            input_gradient(unit.conv2, self._middle_size, dtype),
            skip,
        )

    @cached_property
    def _scaled(self) -> _Maps:
        """With every BatchNorm's scale."""
        skip = None
        if self._unit.downsample is not None:
            skip = convolution(*self._scaled_skip)
        return _Maps(convolution(*self._scaled_1), convolution(*self._scaled_2), skip)

    @cached_property
    def _scaled_gradients(self) -> _Maps:
        skip = None
        if self._unit.downsample is not None:
            skip = input_gradient(*self._scaled_skip)
        return _Maps(input_gradient(*self._scaled_1), input_gradient(*self._scaled_2), skip)

    @property
    def _scaled_1(self) -> _ScaledConv:
        scales = self.leading.scale, self._bn2.scale
        return self._unit.conv1, self._input_size, self._dtype, *scales

    @property
    def _scaled_2(self) -> _ScaledConv:
        return self._unit.conv2, self._middle_size, self._dtype, None, self._bn3.scale

    @property
    def _scaled_skip(self) -> _ScaledConv:
        conv = cast("nn.Sequential", self._unit.downsample)[0]
        scale = cast("FusedBatchNorm", self._skip_bn).scale
        return cast("nn.Conv2d", conv), self._input_size, self._dtype, None, scale


@dataclass(frozen=True)
class Dtypes:
    """Of a fused network: activations (and weights), and statistics (float32 or float64)."""

    activations: torch.dtype
    statistics: torch.dtype


@dataclass(frozen=True)
class _Maps:
    """Of a residual unit's convolutions, or of their input gradients."""

    conv1: LinearMap
    conv2: LinearMap
    skip: LinearMap | None


_ScaledConv = tuple[nn.Conv2d, Size, torch.dtype, Tensor | None, Tensor | None]


def _slope(activation: nn.PReLU | nn.ReLU | None, like: Tensor) -> Tensor | None:
    """[C], of negative values; None without activation."""
    if activation is None:
        return None
    if isinstance(activation, nn.ReLU):
        return torch.zeros_like(like)
    return activation.weight.detach().to(like.dtype).expand(len(like)).contiguous()


def _column_starts(first: int, *layers: nn.BatchNorm2d) -> list[int]:
    """Where the columns of each layer begin, and where the next ones would."""
    starts = [first]
    for layer in layers:
        starts.append(starts[-1] + layer.num_features)
    return starts


def _new_mask(x: Tensor) -> Tensor:
    """Room for one bit for each element."""
    return torch.empty(x.numel() // 8, dtype=torch.uint8, device=x.device)
