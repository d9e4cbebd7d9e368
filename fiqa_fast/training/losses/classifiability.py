"""What CR-FIQA's head learns, and how: certainty ratios and the smooth L1 loss.

F. Boutros et al., "CR-FIQA: Face Image Quality Assessment by Learning Sample Relative
Classifiability" (CVPR 2023).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.classifiability import CR_EPSILON
from fiqa_fast.training.losses.margin import in_full_precision

Target = Literal["cr", "ccs"]
Variant = Literal["paper", "official"]


def quality_target(
    ccs: Tensor, nnccs: Tensor, *, target: Target = "cr", variant: Variant = "paper"
) -> Tensor:
    """What the head is to predict; the same for training with the network and on top of it.

    "cr" is the certainty ratio, CR = CCS / (NNCCS + 1 + 1e-9); "ccs" the cosine to the own class
    alone (CCS-FIQA of the ablation).

    The variant "paper" divides by NNCCS + 1 + 1e-9. The released training code ("official") divides
    by NNCCS alone: the ratio is then without bound around NNCCS = 0, and negative below it. Its
    author tells users that the "+ 1 + 1e-9" is needed, so "paper" is the default.

    Args:
        ccs: [B], cosines to the own class.
        nnccs: [B], highest cosines to another class.
        target: what of them.
        variant: of "cr".

    Returns:
        [B], float32 (float64 of float64), without gradient.

    Raises:
        InvalidArgumentError: unknown names, or shapes that differ.
    """
    for name, value, known in (("target", target, Target), ("variant", variant, Variant)):
        if value not in get_args(known):
            raise InvalidArgumentError(
                f"cr-fiqa: expected {name} to be one of {', '.join(get_args(known))}, got"
                f" {value!r}; choose one of them"
            )
    if ccs.shape != nnccs.shape:
        raise InvalidArgumentError(
            f"cr-fiqa: expected nnccs of shape {list(ccs.shape)} like ccs, got"
            f" {list(nnccs.shape)}; pass those of the same samples"
        )
    ccs, nnccs = in_full_precision(ccs.detach()), in_full_precision(nnccs.detach())
    if target == "ccs":
        return ccs
    return ccs / (nnccs + 1 + CR_EPSILON if variant == "paper" else nnccs)


def quality_loss(
    predicted: Tensor, target: Tensor, *, beta: float = 0.5, weight: float = 10.0
) -> Tensor:
    """lambda times the mean smooth L1 distance between prediction and target.

    d^2 / (2 beta) where |d| < beta, |d| - beta / 2 elsewhere.

    Args:
        predicted: [B], by the head; any floating dtype.
        target: [B], from `quality_target`; gets no gradient.
        beta: .5 in the released code; 1 is the usual smooth L1.
        weight: lambda.

    Returns:
        A scalar, float32 (float64 of float64).

    Raises:
        InvalidArgumentError: shapes that differ (a [B, 1] would be spread over [B]), or beta or
            weight out of range.
    """
    if predicted.shape != target.shape or predicted.ndim != 1:
        raise InvalidArgumentError(
            f"cr-fiqa: expected predicted and target of shape [B], got {list(predicted.shape)} and"
            f" {list(target.shape)}; pass one number for each sample"
        )
    if not beta > 0 or not weight >= 0:
        raise InvalidArgumentError(
            f"cr-fiqa: expected beta above 0 and weight of 0 or more, got {beta} and {weight};"
            " leave them out for the paper's"
        )
    predicted = in_full_precision(predicted)
    return weight * F.smooth_l1_loss(predicted, target.detach().to(predicted), beta=beta)
