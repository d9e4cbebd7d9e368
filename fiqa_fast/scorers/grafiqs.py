"""GraFIQs: how strongly a face would pull the network away from its training statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from fiqa_fast.backbones.base import stages_of
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.ops.abs_sum import abs_sum
from fiqa_fast.ops.bn_discrepancy import bn_discrepancy
from fiqa_fast.scorers.base import Scorer, ScorerSpec

_TAPS = ("image", "b1", "b2", "b3", "b4")


class GraFIQs(Scorer):
    """Gradient magnitudes of a BatchNorm-statistics loss. Lower is better, for every output.

    Kolf, Damer, Boutros, "GraFIQs: Face Image Quality Assessment Using Gradient Magnitudes" (CVPRW
    2024, arXiv 2404.12203). The loss compares, at the input of every BatchNorm2d layer, the
    statistics of this one image with the running statistics of the training set (Eq. 4). Outputs:
    `mse_bns` is the loss itself; `image`, `b1`..`b4` are sums of |d loss / d activation| at the
    normalised image and at the network's taps (Eq. 5); the paper's best is `b2`.

    Variants: "official" compares variances and averages over channels, as the authors' code does;
    "paper" compares standard deviations and sums over channels, as Eq. 4 is printed.

    What the loss sees before a tap is constant for the gradient at that tap, so nothing before the
    earliest wanted tap is differentiated, and its layers count in the divisor only.
    """

    spec = ScorerSpec(
        name="grafiqs",
        title="GraFIQs",
        paper='Kolf et al., "GraFIQs: Face Image Quality Assessment Using Gradient Magnitudes",'
        " CVPRW 2024",
        outputs=("mse_bns", *_TAPS),
        default_output="b2",
        higher_is_better=False,
        needs=("BatchNorm statistics",),
    )

    def _check_backbone(self) -> None:
        batch_norms = self.backbone.batch_norms
        if not batch_norms or any(bn.running_mean is None for bn in batch_norms):
            raise InvalidArgumentError(
                "grafiqs: expected a network whose BatchNorm2d layers keep running statistics,"
                f" got {self.backbone.spec.name}, where they are folded or missing;"
                " choose another network"
            )

    def _evaluate(
        self, crops: Tensor, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        taps = [tap for tap in _TAPS if tap in outputs]
        first_tap = _TAPS.index(taps[0]) if taps else len(_TAPS)
        layer_errors: list[Tensor] = []

        def observe(bn: nn.BatchNorm2d, x: Tensor) -> None:
            layer_errors.append(self._layer_error(bn, x))

        x = self.backbone.normalise(crops.to(self.backbone.device))
        activations: dict[str, Tensor] = {}
        # Tap i is the input of stage i: the image in front of the first one, b4 before the tail.
        for i, stage in enumerate(stages_of(self.backbone)):
            if i == first_tap:
                x = x.detach().requires_grad_()
            if _TAPS[i] in taps:
                activations[_TAPS[i]] = x
            differentiated = i >= first_tap
            observed = differentiated or "mse_bns" in outputs
            with torch.set_grad_enabled(differentiated):
                x = stage(x, observe if observed else None)

        loss = torch.stack(layer_errors).sum(0) / len(self.backbone.batch_norms)  # [n]
        scores = {"mse_bns": loss.detach()}
        if taps:
            gradients = torch.autograd.grad(loss.sum(), [activations[tap] for tap in taps])
            scores |= {tap: abs_sum(g) for tap, g in zip(taps, gradients, strict=True)}
        return scores

    def _layer_error(self, bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
        """One layer's term of the loss, [n]."""
        official = self.variant == "official"
        mean, var = cast("Tensor", bn.running_mean), cast("Tensor", bn.running_var)
        error = bn_discrepancy(x, mean, var, use_std=not official).squared_error
        return error / x.shape[1] if official else error
