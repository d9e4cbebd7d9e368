"""A recognition network as a row of fused units."""

from __future__ import annotations

from itertools import pairwise
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.families.iresnet import ResidualUnit
from fiqa_fast.backbones.layers.units import BatchNormUnit, ConvUnit, Stage, StageRunner
from fiqa_fast.fused.convolution import Size, is_plain
from fiqa_fast.fused.embedding import FusedEmbedding
from fiqa_fast.fused.quantisation import input_ranges
from fiqa_fast.fused.quantised_units import QuantisedConvUnit, QuantisedResidualUnit, Ranges
from fiqa_fast.fused.statistics import StatisticsTable
from fiqa_fast.fused.units import (
    Activation,
    Columns,
    Dtypes,
    FusedBatchNormUnit,
    FusedConvUnit,
    FusedResidualUnit,
    FusedUnit,
    Kept,
)


class FusedRun(StageRunner):
    """One pass through a fused network, and what it leaves behind.

    Attributes:
        outputs: of every unit, [N, C, H, W] in channels_last memory.
        kept: for every unit what its way back needs; () where nothing was kept.
    """

    def __init__(
        self, network: FusedNetwork, x: Tensor, moments: Columns, keep_from: int | None
    ) -> None:
        self.outputs: list[Tensor] = []
        self.kept: list[Kept] = []
        self._network, self._moments, self._keep_from = network, moments, keep_from
        self._flow = Activation(x)

    def kept_of(self, images: int) -> list[Kept]:
        """What was kept of the first images of the pass."""
        return [tuple(kept[:images] for kept in of_unit) for of_unit in self.kept]

    def run_stage(self, stage: Stage, x: Tensor) -> Tensor:
        """Runs the fused units in place of the next stage's own."""
        done = len(self.outputs)
        for i, unit in enumerate(self._network.units[done : done + len(stage)], done):
            keep = self._keep_from is not None and i >= self._keep_from
            self._flow, kept = unit.forward(self._flow, self._moments, keep=keep)
            self.outputs.append(self._flow.value)
            self.kept.append(kept if keep else ())
        return self._flow.value


class FusedNetwork:
    """The stages of a network as fused units, for its device and precision.

    Args:
        backbone: see `why_not_fusable`.

    Attributes:
        dtype: of activations and weights.
        statistics_dtype: of statistics and embeddings, float32 or float64.
        units: in a row.
        stage_ends: for each of the five stages the number of units up to its end.
        statistics: the running statistics of all BatchNorm2d layers.
        embedding: the layers behind the last stage.
    """

    def __init__(self, backbone: Backbone) -> None:
        precise = backbone.dtype == torch.float64
        dtypes = Dtypes(backbone.dtype, torch.float64 if precise else torch.float32)
        self.dtype, self.statistics_dtype = dtypes.activations, dtypes.statistics
        size: Size = (backbone.spec.input.height_px, backbone.spec.input.width_px)
        self.units: list[FusedUnit] = []
        self.stage_ends: list[int] = []
        layers, pixels, column = [], [], 0
        self._stages = backbone.stages
        ranges = input_ranges(backbone)
        for stage in backbone.stages:
            for unit in stage:
                fused = _fused(unit, size, dtypes, column, ranges)
                for layer, area in fused.batch_norms:
                    layers.append(layer)
                    pixels.append(area)
                    column = layer.columns.stop
                size = fused.output_size
                self.units.append(fused)
            self.stage_ends.append(len(self.units))
        for one, next_one in pairwise(self.units):
            one.following = None if next_one.normalises_itself else next_one.leading
        self.statistics = StatisticsTable(layers, pixels, len(backbone.batch_norms))
        if backbone.embedding_layers is None:
            raise NotImplementedError("a fused network without embedding; see why_not_fusable")
        self.embedding = FusedEmbedding(*backbone.embedding_layers, size, self.dtype)

    @torch.no_grad()
    def run(
        self, x: Tensor, moments: Columns | None = None, keep_from: int | None = None
    ) -> FusedRun:
        """Runs all units.

        Args:
            x: the network's input, [N, 3, H, W].
            moments: takes the moments of BatchNorm inputs.
            keep_from: the first unit whose way back will be needed; None: no unit's.
        """
        x = x.to(self.dtype).contiguous(memory_format=torch.channels_last)
        run = FusedRun(self, x, Columns() if moments is None else moments, keep_from)
        for stage in self._stages:
            x = stage(x, run)
        return run

    def first_column_behind(self, unit: int) -> int:
        """The first column of statistics that the input of a unit, by number, has a part in."""
        return next((u.batch_norms[0][0].columns.start for u in self.units[unit:]), 0)


_FUSED: WeakKeyDictionary[Backbone, FusedNetwork] = WeakKeyDictionary()


def fused_network(backbone: Backbone) -> FusedNetwork:
    """The network's fused form, made once. Scorers on one network share its packed weights."""
    if backbone not in _FUSED:
        with torch.no_grad(), torch.inference_mode(False):
            _FUSED[backbone] = FusedNetwork(backbone)
    return _FUSED[backbone]


def why_not_fusable(backbone: Backbone) -> str:
    """Why a network cannot run fused; "" when it can."""
    if backbone.device.type == "cpu" and backbone.dtype == torch.float16:
        return "fp16 has no fast arithmetic on CPUs"
    units = [unit for stage in backbone.stages for unit in stage]
    for unit in units:
        if isinstance(unit, ResidualUnit) and unit.se is not None:
            return "it has squeeze-and-excitation"
        if not isinstance(unit, ResidualUnit | ConvUnit | BatchNormUnit):
            return f"it has units of the kind {type(unit).__name__}"
    convolutions = [m for stage in backbone.stages for m in stage.modules() if type(m) is nn.Conv2d]
    if not all(is_plain(conv) for conv in convolutions):
        return "it has a convolution with bias, dilation, or a kernel that is not square"
    for bn in backbone.batch_norms:
        if bn.num_features % 8:
            return "a layer has a number of channels that 8 does not divide"
    if backbone.embedding_layers is None:
        return "its embedding is not one linear layer with BatchNorm"
    return ""


def _fused(unit: object, size: Size, dtypes: Dtypes, column: int, ranges: Ranges) -> FusedUnit:
    if isinstance(unit, ConvUnit):
        if unit.conv in ranges:
            return QuantisedConvUnit(unit, size, dtypes, column, ranges)
        return FusedConvUnit(unit, size, dtypes, column)
    if isinstance(unit, ResidualUnit):
        if unit.conv1 in ranges:
            return QuantisedResidualUnit(unit, size, dtypes, column, ranges)
        return FusedResidualUnit(unit, size, dtypes, column)
    if isinstance(unit, BatchNormUnit):
        return FusedBatchNormUnit(unit, size, dtypes, column)
    raise NotImplementedError(f"a fused unit for {type(unit).__name__}; see why_not_fusable")
