"""The softmax over other classes and the nearest of them, without the matrix of all cosines.

Classes are taken in blocks. On the way back each block's cosines are
computed again, which costs one matrix product more than the three of the plain way, and saves the
matrix and its copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fiqa_fast.training.losses.margin import HardNegatives

# Cosines of one block. On a CPU, 2 to 16 MiB take the same time, but threads of a busy machine wait
# for each other at the end of every operator; a GPU wants large products.
_CPU_COSINES, _GPU_COSINES = 2**21, 2**26


def sum_negatives(
    units: Tensor,
    weights: Tensor,
    own: Tensor,
    scale: float,
    *,
    hard: HardNegatives | None = None,
    rows: Tensor | None = None,
    block: int | None = None,
) -> tuple[Tensor, Tensor]:
    """log(sum(exp(s c))) and max(c) over the cosines c to classes that are not the sample's own.

    Args:
        units: float32 or float64 [B, D], embeddings of length 1.
        weights: [C, D], of any length but 0; dtype of `units`.
        own: int64 [B]: position of the own class among `rows` (or all); -1 where it is not there.
        scale: s.
        hard: what is done to hard negatives before the sum; the maximum is that of plain cosines.
        rows: int64 [R], ascending: the classes that take part; None: all.
        block: classes at a time; None: what suits the device.

    Returns:
        The logarithms, with a gradient, and the highest cosines, without one; both [B], and -inf
        for a sample without any other class.
    """
    log_sum, nearest = _SumNegatives.apply(  # type: ignore[no-untyped-call]
        units,
        weights,
        _Classes(own, rows, _block(units, block)),
        scale,
        hard,
    )
    return log_sum, nearest


@torch.no_grad()
def nearest_negative(
    units: Tensor, weights: Tensor, own: Tensor, *, block: int | None = None
) -> Tensor:
    """The highest cosine to another class, as in `sum_negatives`, without the sum."""
    highest = units.new_full((len(units),), -torch.inf)
    for part in _Classes(own, None, _block(units, block)).parts(weights):
        highest = torch.maximum(highest, part.cosines(units).amax(1))
    return highest


def sum_negatives_reference(
    units: Tensor,
    weights: Tensor,
    own: Tensor,
    scale: float,
    *,
    hard: HardNegatives | None = None,
    rows: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The plain twin: the whole matrix, differentiated by autograd."""
    cosines = units @ F.normalize(weights if rows is None else weights[rows]).T
    here = own >= 0
    is_own = torch.zeros_like(cosines, dtype=torch.bool)
    is_own[here, own[here]] = True
    nearest = cosines.detach().masked_fill(is_own, -torch.inf).amax(1)
    logits = scale * (cosines if hard is None else hard.emphasise(cosines))
    return logits.masked_fill(is_own, -torch.inf).logsumexp(1), nearest


@dataclass(frozen=True)
class _Part:
    """Some classes: their normalised weights, the lengths, and where the own ones are."""

    start: int
    units: Tensor
    lengths: Tensor
    own: Tensor

    def cosines(self, samples: Tensor) -> Tensor:
        """[B, classes]; -inf for the own class."""
        cosines = samples @ self.units.T
        # Samples whose class is elsewhere write back what they have read: so no device must be
        # asked which samples those are.
        columns = (self.own - self.start).clamp(0, len(self.units) - 1)
        is_here = columns == self.own - self.start
        columns = columns[:, None]
        kept = cosines.gather(1, columns)
        return cosines.scatter_(1, columns, kept.masked_fill_(is_here[:, None], -torch.inf))


@dataclass(frozen=True)
class _Classes:
    own: Tensor
    rows: Tensor | None
    block: int

    def parts(self, weights: Tensor) -> Iterator[_Part]:
        count = len(weights) if self.rows is None else len(self.rows)
        for start in range(0, count, self.block):
            taken = self.taken(start)
            part = weights[taken]
            lengths = part.norm(dim=1, keepdim=True)
            yield _Part(start, part / lengths, lengths, self.own)

    def taken(self, start: int) -> Any:
        """The index of a part's rows."""
        part = slice(start, start + self.block)
        return part if self.rows is None else self.rows[part]


class _SumNegatives(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        units: Tensor,
        weights: Tensor,
        classes: _Classes,
        scale: float,
        hard: HardNegatives | None,
    ) -> tuple[Tensor, Tensor]:
        nearest = units.new_full((len(units),), -torch.inf)
        peak, total = nearest.clone(), torch.zeros_like(nearest)
        for part in classes.parts(weights):
            logits = part.cosines(units)
            nearest = torch.maximum(nearest, logits.amax(1))
            if hard is not None:
                logits = hard.emphasise(logits)
            higher = torch.maximum(peak, logits.amax(1))
            shift = _finite(higher)
            summed = logits.sub_(shift[:, None]).mul_(scale).exp_().sum(1)
            total = total * torch.exp(scale * (peak - shift)) + summed
            peak = higher
        log_sum = scale * peak + total.log()
        ctx.save_for_backward(units, weights, log_sum)
        ctx.classes, ctx.scale, ctx.hard = classes, scale, hard
        ctx.mark_non_differentiable(nearest)
        return log_sum, nearest

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        units, weights, log_sum = ctx.saved_tensors
        classes, scale, hard = ctx.classes, ctx.scale, ctx.hard
        every = classes.rows is None
        grad_weights = torch.empty_like(weights) if every else torch.zeros_like(weights)
        grad_units = torch.zeros_like(units)
        factors = (scale * grads[0])[:, None]
        shift = (_finite(log_sum) / scale)[:, None]
        with torch.autocast(units.device.type, enabled=False):
            for part in classes.parts(weights):
                cosines = part.cosines(units)
                slope = None
                if hard is not None:
                    slope, cosines = hard.slope(cosines), hard.emphasise(cosines)
                grad = cosines.sub_(shift).mul_(scale).exp_().mul_(factors)
                if slope is not None:
                    grad.mul_(slope)
                grad_units.addmm_(grad, part.units)
                across = grad.T @ units
                along = (across * part.units).sum(1, keepdim=True)
                across.sub_(along * part.units).div_(part.lengths)
                grad_weights[classes.taken(part.start)] = across
        return grad_units, grad_weights, None, None, None


def _finite(values: Tensor) -> Tensor:
    """0 in place of -inf, for what is subtracted from -inf."""
    return values.masked_fill(values == -torch.inf, 0)


def _block(units: Tensor, block: int | None) -> int:
    cosines = _GPU_COSINES if units.device.type == "cuda" else _CPU_COSINES
    return max(cosines // max(len(units), 1), 1) if block is None else block
