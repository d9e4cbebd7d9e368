"""The gradient of the statistics loss at a network's taps, by hand-written passes.

Up to the first wanted tap nothing is kept: what the loss sees there is constant for the gradient.
No weight gets a gradient.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from fiqa_fast.fused.network import FusedNetwork, FusedRun
from fiqa_fast.fused.units import Columns, Tap, total_gradient

TAPS = ("image", "b1", "b2", "b3", "b4")
"""In the order of the pass: the network's input, and the outputs of its first four stages."""


@dataclass(frozen=True)
class StatisticsGradient:
    """What came of a batch of N images.

    Attributes:
        loss: [N], None unless it was wanted.
        taps: what was taken at each wanted tap.
        run: the pass forward.
    """

    loss: Tensor | None
    taps: dict[str, Tap]
    run: FusedRun


@torch.no_grad()
def statistics_gradient(
    network: FusedNetwork,
    x: Tensor,
    wanted: Collection[str],
    *,
    wants_loss: bool,
    wants_maps: bool,
    paper: bool,
) -> StatisticsGradient:
    """Runs the network forward, and back to the first wanted tap.

    Args:
        network: whose BatchNorm statistics are compared.
        x: the network's input, [N, 3, H, W].
        wanted: of TAPS.
        wants_loss: the whole loss, see `StatisticsTable.loss`.
        wants_maps: see `Tap.map`.
        paper: the paper's loss instead of the official one.
    """
    # The number of units in front of each tap.
    fronts = dict(zip(TAPS, (0, *network.stage_ends), strict=False))
    start = min((fronts[tap] for tap in wanted), default=len(network.units))
    table = network.statistics
    behind = network.first_column_behind(start)
    moments = table.new_moments(len(x))
    first = 0 if wants_loss else behind
    if start == len(network.units) and not wants_loss:
        return StatisticsGradient(None, {}, network.run(x))
    run = network.run(x, Columns(moments, first), keep_from=start)
    loss = table.loss(moments, 0, paper=paper) if wants_loss else None
    if not wanted:
        return StatisticsGradient(loss, {}, run)

    terms = Columns(table.gradient_terms(moments, paper=paper), behind)
    taps = {
        tap: Tap(len(x), table.running_mean, wants_map=wants_maps) for tap in TAPS if tap in wanted
    }
    at_output = {fronts[tap] - 1: taps[tap] for tap in taps}
    grad: Tensor | None = None
    for i in reversed(range(start, len(network.units))):
        grad = network.units[i].backward(grad, run.outputs[i], run.kept[i], terms, at_output.get(i))
    if start:
        last = network.units[start - 1]
        of_y = terms.of(last.following)
        total_gradient(grad, run.outputs[start - 1], of_y, at_output[start - 1])
    elif grad is not None:
        total_gradient(grad, grad, None, taps["image"])
    return StatisticsGradient(loss, taps, run)
