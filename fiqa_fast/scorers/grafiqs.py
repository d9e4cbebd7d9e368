"""GraFIQs: how strongly a face would pull the network away from its training statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.fused.forward_pass import FusedForwardPass
from fiqa_fast.fused.statistics_gradient import TAPS, StatisticsGradient, statistics_gradient
from fiqa_fast.ops.abs_sum import abs_sum
from fiqa_fast.ops.bn_discrepancy import bn_discrepancy
from fiqa_fast.scorers.base import Scorer, ScorerOptions, ScorerSpec, working


@dataclass(frozen=True)
class GraFIQsOptions(ScorerOptions):
    """Parameters of GraFIQs.

    Attributes:
        channel_order: "RGB" or "BGR", what the network is fed with; None: what it was trained on.
            The authors' script feeds BGR to networks trained on RGB unless told otherwise: give
            "BGR" to compare with numbers made so.
    """

    channel_order: str | None = None

    def __post_init__(self) -> None:
        if self.channel_order not in (None, "RGB", "BGR"):
            raise InvalidArgumentError(
                f"grafiqs: expected channel_order to be RGB or BGR, got {self.channel_order!r};"
                " leave it out for the order that the network was trained on"
            )


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
    earliest wanted tap is differentiated, and its layers count in the divisor only. The engine
    "torch" takes the gradients back by explicit passes (`fiqa_fast.fused.statistics_gradient`), the
    engine "reference" by autograd.

    Maps of `explain`: |d loss / d activation| summed over the channels, at the resolution of that
    activation (the network's input for `image`). A map's total is the score.
    """

    spec = ScorerSpec(
        name="grafiqs",
        title="GraFIQs",
        paper='Kolf et al., "GraFIQs: Face Image Quality Assessment Using Gradient Magnitudes",'
        " CVPRW 2024",
        outputs=("mse_bns", *TAPS),
        default_output="b2",
        higher_is_better=False,
        needs=("BatchNorm statistics",),
        weights="any; the paper's is resnet100_ms1mv2_arcface.pth",
        licence="that of the file; the paper's is for research only",
        proof="official",
        explains=TAPS,
    )
    options_type = GraFIQsOptions
    options: GraFIQsOptions
    fills_forward_pass = True

    def _check_backbone(self) -> None:
        name = self.backbone.spec.name
        if not self.backbone.batch_norms:
            raise InvalidArgumentError(
                f"grafiqs: expected a network with BatchNorm2d layers, got {name}, which has none;"
                " choose another network"
            )
        if self.backbone.bn_statistics == "none":
            raise InvalidArgumentError(
                "grafiqs: expected a network whose BatchNorm2d layers keep running statistics,"
                f" got {name}, where they are folded or missing; re-estimate them with"
                " `fiqa-fast weights calibrate-bn`, or choose another network"
            )

    def _evaluate(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        if isinstance(forward, FusedForwardPass):
            fused = self._differentiate_fused(forward, outputs, wants_maps=False)
            loss, scores = fused.loss, {name: tap.abs_sum for name, tap in fused.taps.items()}
        else:
            loss, gradients = self._differentiate(forward, outputs)
            scores = {tap: abs_sum(g) for tap, g in gradients.items()}
        return {"mse_bns": cast("Tensor", loss), **scores} if "mse_bns" in outputs else scores

    def _explain(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        if isinstance(forward, FusedForwardPass):
            fused = self._differentiate_fused(forward, outputs, wants_maps=True)
            return {name: cast("Tensor", tap.map) for name, tap in fused.taps.items()}
        _, gradients = self._differentiate(forward, outputs)
        return {tap: working(g).abs().sum(1) for tap, g in gradients.items()}

    def _input(self, forward: ForwardPass) -> tuple[Tensor, bool]:
        """What the network is fed with, and whether that is what other methods feed it with."""
        order = self.options.channel_order
        if order in (None, self.backbone.spec.input.channel_order):
            return forward.input, True
        # Pixels are swapped, not their normalised values: means differ by colour.
        return self.backbone.normalise(forward.crops.to(self.backbone.device).flip(1)), False

    def _differentiate_fused(
        self, forward: FusedForwardPass, outputs: Sequence[str], *, wants_maps: bool
    ) -> StatisticsGradient:
        x, shared = self._input(forward)
        gradient = statistics_gradient(
            forward.network,
            x,
            [tap for tap in TAPS if tap in outputs],
            wants_loss="mse_bns" in outputs,
            wants_maps=wants_maps,
            paper=self.variant == "paper",
        )
        if shared:
            forward.run = gradient.run
        return gradient

    def _differentiate(
        self, forward: ForwardPass, outputs: Sequence[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, [n], and its gradients at the wanted taps, [n, C, h, w].

        The loss is complete only where `mse_bns` or `image` is wanted.
        """
        taps = [tap for tap in TAPS if tap in outputs]
        first_tap = TAPS.index(taps[0]) if taps else len(TAPS)
        layer_errors: list[Tensor] = []

        def observe(bn: nn.BatchNorm2d, x: Tensor) -> None:
            layer_errors.append(self._layer_error(bn, x))

        x, shared = self._input(forward)
        activations = [x]
        # Tap i is the input of stage i: the image in front of the first one, b4 before the last.
        for i, stage in enumerate(self.backbone.stages):
            if i == first_tap:
                x = activations[i] = x.detach().requires_grad_()
            differentiated = i >= first_tap
            observed = differentiated or "mse_bns" in outputs
            with torch.set_grad_enabled(differentiated):
                x = stage(x, observe if observed else None)
            activations.append(x)
        if shared:
            forward.activations = tuple(a.detach() for a in activations[1:])

        points = {tap: activations[TAPS.index(tap)] for tap in taps}
        if not layer_errors:  # the network has no BatchNorm layer behind the first tap
            return working(x).new_zeros(len(x)), {t: torch.zeros_like(p) for t, p in points.items()}
        loss = torch.stack(layer_errors).sum(0) / len(self.backbone.batch_norms)  # [n]
        if not taps:
            return loss, {}
        # A tap without any BatchNorm layer behind it has a gradient too: zero.
        gradients = torch.autograd.grad(loss.sum(), list(points.values()), materialize_grads=True)
        return loss.detach(), dict(zip(points, gradients, strict=True))

    def _layer_error(self, bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
        """One layer's term of the loss, [n]."""
        official = self.variant == "official"
        mean, var = cast("Tensor", bn.running_mean), cast("Tensor", bn.running_var)
        error = bn_discrepancy(x, mean, var, use_std=not official).squared_error
        return error / x.shape[1] if official else error
