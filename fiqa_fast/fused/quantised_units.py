"""The units of a network with convolutions of 8-bit integers. They run forward only."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from fiqa_fast.backbones.families.iresnet import ResidualUnit
from fiqa_fast.backbones.layers.units import ConvUnit
from fiqa_fast.fused.convolution import Size
from fiqa_fast.fused.quantisation import QuantisedConvolution
from fiqa_fast.fused.units import (
    Activation,
    Columns,
    Dtypes,
    FusedConvUnit,
    FusedResidualUnit,
    Kept,
)
from fiqa_fast.ops.bn_add_bn import bn_add_bn

Ranges = Mapping[nn.Module, Tensor]
"""Of a convolution's input, see `quantisation.input_ranges`."""


class QuantisedConvUnit(FusedConvUnit):
    """Convolution of integers, BatchNorm, PReLU (or ReLU, or nothing)."""

    def __init__(
        self, unit: ConvUnit, input_size: Size, dtypes: Dtypes, column: int, ranges: Ranges
    ) -> None:
        super().__init__(unit, input_size, dtypes, column)
        self._conv = QuantisedConvolution(unit.conv, input_size, ranges[unit.conv])

    def forward(self, x: Activation, moments: Columns, *, keep: bool) -> tuple[Activation, Kept]:
        """See `FusedUnit`."""
        _refuse_gradients(moments, keep=keep)
        return super().forward(x, moments, keep=keep)


class QuantisedResidualUnit(FusedResidualUnit):
    """As `FusedResidualUnit`, with both convolutions of integers.

    The first BatchNorm layer is applied where its result becomes integers, like the second one and
    the PReLU: in the pass in front of the convolution.
    """

    normalises_itself = True

    def __init__(
        self, unit: ResidualUnit, input_size: Size, dtypes: Dtypes, column: int, ranges: Ranges
    ) -> None:
        super().__init__(unit, input_size, dtypes, column)
        self._conv1 = QuantisedConvolution(unit.conv1, input_size, ranges[unit.conv1], self.leading)
        self._conv2 = QuantisedConvolution(
            unit.conv2, self._middle_size, ranges[unit.conv2], self._bn2, self._slope
        )

    def forward(self, x: Activation, moments: Columns, *, keep: bool) -> tuple[Activation, Kept]:
        """See `FusedUnit`."""
        _refuse_gradients(moments, keep=keep)
        branch = self._conv2(self._conv1(x.value))
        skip = x.value if self._skip_conv is None else self._skip_conv(x.value)
        y, normalised = bn_add_bn(
            branch,
            *self._bn3.affine,
            skip,
            skip_bn=None if self._skip_bn is None else self._skip_bn.affine,
            next_bn=None if self.following is None else self.following.affine,
            out=branch,
        )
        return Activation(y, normalised), ()


def _refuse_gradients(moments: Columns, *, keep: bool) -> None:
    """Methods with gradients refuse int8 before it comes to this."""
    if keep or moments.table is not None:
        raise NotImplementedError("a fused unit with convolutions of integers has no way back")
