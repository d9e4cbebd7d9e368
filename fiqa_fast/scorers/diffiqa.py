"""DifFIQA: how far adding noise to a face, and taking it away again, moves its embedding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.diffusion.checkpoint import load_diffusion
from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.noise import Stream, normal, sample_keys
from fiqa_fast.scorers.base import Scorer, ScorerOptions, ScorerSpec, require_embedding
from fiqa_fast.types import CROP_SIZE_PX


@dataclass(frozen=True)
class DifFIQAOptions(ScorerOptions):
    """Parameters of DifFIQA, with the paper's values.

    Attributes:
        unet: path of the diffusion model's weights, see `load_diffusion`. Required: no package
            carries them.
        t: noise steps.
        repeats: how often noise is drawn.
    """

    unet: str | None = None
    t: int = 5
    repeats: int = 10

    def __post_init__(self) -> None:
        for name in ("t", "repeats"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise InvalidArgumentError(
                    f"diffiqa: expected {name} to be a whole number >= 1, got {value!r};"
                    " the paper uses t=5, repeats=10"
                )


class DifFIQA(Scorer):
    """Diffusion quality. Higher is better; at most 1.

    Babnik, Peer, Štruc, "DifFIQA: Face Image Quality Assessment Using Denoising Diffusion
    Probabilistic Models" (IJCB 2023). The image x and its mirror image f get noise (x_t, f_t), and
    a UNet takes the noise away again (x', f'). The quality is the mean cosine between the embedding
    of x and those of x_t, x', f, f_t and f', over `repeats` draws of noise. The paper's network is
    CosFace iresnet100. By the authors' published settings the UNet has dim 128 and widths 1, 2, 4
    and 8 times that, sees 112x112 pixels and predicts the image without noise, and there are 1000
    noise levels. Pixels lie in -1..1, as in denoising-diffusion-pytorch, with which it was trained.
    Sizes and schedule are read from the weights file. One score takes 2 * repeats * (t + 1) images
    through the UNet (120) and 4 * repeats + 2 through the network (42).

    Variants, with the noise levels counted from 0 (the paper's x_t has the level t - 1):
        official: noise of level t, then steps from the levels t-1, t-2, ..., 1, 0, 0 (with t=5:
            4, 3, 2, 1, 0, 0), as recorded from the authors' program.
        paper: noise of level t - 1, then one step from each of the levels t-1, ..., 0.

    The record tells which levels are visited, not what a step does. What follows is our choice: the
    step of the DDPM sampler (Ho et al., 2020, Alg. 2) as denoising-diffusion-pytorch has it, with
    the UNet's guess clamped to -1..1 and fresh noise above level 0; independent noise for the
    mirror image; images go to the network unrounded, x_t also unclamped.

    Noise: [B, repeats, 2, t, 3, H, W], floating, standard normal. Third axis: the image, its mirror
    image. Fourth axis: the noise that is added first, then that of the steps from the levels t-1,
    ..., 1.
    """

    spec = ScorerSpec(
        name="diffiqa",
        title="DifFIQA",
        paper='Babnik et al., "DifFIQA: Face Image Quality Assessment Using Denoising Diffusion'
        ' Probabilistic Models", IJCB 2023',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("embedding", "112x112 input", "the weights of a diffusion model (option unet)"),
        is_random=True,
        # The noise (about 0.02 in pixels of -1..1) is only a few steps of a bf16 pixel.
        precisions=("float32", "float64"),
        weights="the UNet, diff_pretrain.pt (option unet); any network",
        licence="no licence stated by its authors",
    )
    options_type = DifFIQAOptions
    runs_fused = False
    options: DifFIQAOptions

    def _set_up(self) -> None:
        if self.options.unet is None:
            raise WeightsError(
                "diffiqa: expected the option unet, the path of the diffusion model's weights, got"
                " none; bring the authors' diff_pretrain.pt, or train a UNet with"
                " denoising-diffusion-pytorch"
            )
        network = self.backbone
        self.diffusion = load_diffusion(Path(self.options.unet), network.device, network.dtype)
        levels, t = len(self.diffusion.schedule), self.options.t
        if t >= levels:
            raise InvalidArgumentError(
                f"diffiqa: expected t < {levels}, the levels of the diffusion model's schedule,"
                f" got {t}; the paper uses t=5"
            )

    @property
    def parameters(self) -> dict[str, Any]:
        """The method's own parameters; of the diffusion model the digest in place of the path."""
        given = {k: v for k, v in super().parameters.items() if k != "unet"}
        return {**given, "unet_sha256": self.diffusion.weights_sha256}

    def _check_backbone(self) -> None:
        require_embedding(self)
        size = self.backbone.spec.input
        if size.fit != "none":
            raise InvalidArgumentError(
                f"diffiqa: expected a network that sees {CROP_SIZE_PX}x{CROP_SIZE_PX} pixels, as"
                f" the diffusion model does, got {self.backbone.spec.name} with"
                f" {size.height_px}x{size.width_px}; choose another network"
            )

    def _check_noise(self, noise: Tensor | None, batch_size: int) -> None:
        expected = [batch_size, *self._noise_shape]
        if noise is not None and (list(noise.shape) != expected or not noise.is_floating_point()):
            raise InvalidArgumentError(
                f"diffiqa: expected floating noise of shape {expected} (B, repeats, 2, t, 3, H, W),"
                f" got {list(noise.shape)} of {noise.dtype}; draw it with torch.randn, or leave it"
                " out"
            )

    def why_no_graph(self) -> str:
        """The diffusion model is no part of exported graphs."""
        return "its diffusion model runs on torch only"

    @property
    def _noise_shape(self) -> tuple[int, ...]:
        options = self.options
        return (options.repeats, 2, options.t, 3, CROP_SIZE_PX, CROP_SIZE_PX)

    @torch.no_grad()
    def _evaluate(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        crops = forward.crops
        if noise is None:
            noise = self._draw(crops)
        scores = [self.cosines(c, n).double().mean() for c, n in zip(crops, noise, strict=True)]
        return {"score": torch.stack(scores)}

    def _draw(self, crops: Tensor) -> Tensor:
        """Standard normal numbers, keyed by each crop's pixels: [n, repeats, 2, t, 3, H, W]."""
        shape = self._noise_shape
        draws = normal(self.seed, Stream.DIFFIQA_NOISE, sample_keys(crops), math.prod(shape))
        return draws.reshape(-1, *shape)

    def cosines(self, crop: Tensor, noise: Tensor) -> Tensor:
        """The cosines behind the score of one image.

        Args:
            crop: uint8 [3, 112, 112], RGB.
            noise: [repeats, 2, t, 3, 112, 112], see the class.

        Returns:
            [repeats, 5]: the image's embedding with those of the noisy image, the restored image,
            the mirror image, the noisy mirror image and the restored mirror image.
        """
        pixels = crop.to(self.backbone.device, self.backbone.dtype) / 127.5 - 1
        images = torch.stack([pixels, pixels.flip(-1)])
        base, mirror = self._embed(images)
        rows = []
        for draw in noise.to(images):
            noisy, restored = self.perturb(images, draw)
            (noisy_base, noisy_mirror), (restored_base, restored_mirror) = (
                self._embed(noisy),
                self._embed(restored),
            )
            others = torch.stack([noisy_base, restored_base, mirror, noisy_mirror, restored_mirror])
            rows.append(F.cosine_similarity(others, base[None]))
        return torch.stack(rows)

    def perturb(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Adds noise to images, and takes it away again.

        Args:
            images: [2, 3, H, W], range -1..1.
            noise: [2, t, 3, H, W].

        Returns:
            The noisy images and the restored ones, [2, 3, H, W] each.
        """
        schedule, t = self.diffusion.schedule, self.options.t
        official = self.variant == "official"
        noisy = schedule.add_noise(images, t if official else t - 1, noise[:, 0])
        current = noisy
        for level in [*range(t - 1, -1, -1), *([0] if official else [])]:
            guess = self.diffusion.unet(current, level).clamp(-1, 1)
            fresh = noise[:, t - level] if level else None
            current = schedule.previous(current, level, guess, fresh)
        return noisy, current

    def _embed(self, images: Tensor) -> Tensor:
        """Images in -1..1, [n, 3, H, W] -> embeddings [n, D]."""
        embeddings: Tensor = self.backbone(self.backbone.normalise((images + 1) * 127.5))
        return embeddings
