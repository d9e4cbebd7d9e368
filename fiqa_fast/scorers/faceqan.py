"""FaceQAN: how far small adversarial noise moves a face's embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.fused.cuda_graph import CapturedFunction
from fiqa_fast.fused.difference import DifferencePass
from fiqa_fast.fused.network import fused_network
from fiqa_fast.noise import Stream, sample_keys, uniform_on
from fiqa_fast.ops.sign_step import sign_step
from fiqa_fast.precision import is_within_bound
from fiqa_fast.scorers.base import NoiseSpec, Scorer, ScorerOptions, ScorerSpec, require_embedding


@dataclass(frozen=True)
class FaceQANOptions(ScorerOptions):
    """Parameters of FaceQAN, with the paper's values.

    Attributes:
        k: noisy copies of each image.
        l: steps of the attack.
        eps: strength of the noise and of the attack, in the variant's pixel range.
        p: exponent that spreads the scores.
    """

    k: int = 10
    l: int = 5  # noqa: E741 (the paper's letter)
    eps: float = 0.001
    p: int = 5

    def __post_init__(self) -> None:
        for name in ("k", "l", "p"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise InvalidArgumentError(
                    f"faceqan: expected {name} to be a whole number >= 1, got {value!r};"
                    " the paper uses k=10, l=5, p=5"
                )
        if not 0 < self.eps < 1:
            raise InvalidArgumentError(
                f"faceqan: expected 0 < eps < 1, got {self.eps!r}; the paper uses eps=0.001"
            )


@dataclass(frozen=True)
class _Attack:
    """What became of one image.

    Attributes:
        similarities: S, see `FaceQAN.similarities`.
        mirror: s_f, a scalar.
        displacement: [k, 3, H, W], from the image to its copies as they were embedded last, in the
            variant's pixel range.
    """

    similarities: Tensor
    mirror: Tensor
    displacement: Tensor


class FaceQAN(Scorer):
    """Adversarial-noise quality. Higher is better; about 0..1 (negative only for odd p and a face
    unlike its mirror image).

    Babnik, Peer, Štruc, "FaceQAN: Face Image Quality Assessment Through Adversarial Noise
    Exploration" (ICPR 2022). k copies of the image get uniform noise, then l steps of the basic
    iterative method push their embeddings away from the image's; with the similarities S,

        Q = ((1 + mean S) / 2 * clip(1 - std S, 0, 1) * s_f)^p,

    where s_f is the cosine between the image and its mirror image (std with ddof 0).

    Variants:
        official: pixels in [0, 1], clamped to [-1, 1]; steps of eps; S holds the similarities
            before each of the l steps (the images after the last step are not embedded).
        paper: pixels in [-1, 1]; steps of eps / l; S holds the similarities after the last step.

    Noise: [B, k, 3, H, W], added to the image in the variant's pixel range, floating.

    Each image is attacked in a pass of its own with the fixed batch shape [k, 3, H, W]: the sign of
    a vanishing gradient flips with the order of additions, and with it the score's fourth digit.

    Map of `explain`: the noise mask, |attacked copy - image| in the variant's pixel range, summed
    over the channels and averaged over the k copies: how far the attack moved each pixel. The
    copies are those that were embedded last. It is high where all steps push the same way; the
    paper's first figure finds masks of good images more like a face, those of bad ones more random.
    """

    spec = ScorerSpec(
        name="faceqan",
        title="FaceQAN",
        paper='Babnik et al., "FaceQAN: Face Image Quality Assessment Through Adversarial Noise'
        ' Exploration", ICPR 2022',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("embedding", "gradients"),
        weights="any; the paper's is a CosFace iresnet100 trained on Glint360K",
        licence="that of the file; the paper's is for research only",
        proof="official",
        is_random=True,
        # The noise (1e-3) is below the resolution of a bf16 or fp16 pixel; see `_precisions`.
        precisions=("float32", "float64"),
        explains=("score",),
    )
    options_type = FaceQANOptions
    options: FaceQANOptions

    def _check_backbone(self) -> None:
        require_embedding(self)

    @property
    def _precisions(self) -> tuple[str, ...]:
        """bf16 also, where only differences travel, on networks on which that was measured."""
        fused = self.pass_engine == "torch"
        if fused and is_within_bound(self.spec.name, self.backbone.spec.name, "bf16"):
            return (*self.spec.precisions, "bf16")
        return self.spec.precisions

    def _check_noise(self, noise: Tensor | None, batch_size: int) -> None:
        size = self.backbone.spec.input
        expected = [batch_size, self.options.k, 3, size.height_px, size.width_px]
        if noise is not None and (list(noise.shape) != expected or not noise.is_floating_point()):
            raise InvalidArgumentError(
                f"faceqan: expected floating noise of shape {expected} (B, k, 3, H, W),"
                f" got {list(noise.shape)} of {noise.dtype}; draw it with"
                " torch.empty(shape).uniform_(-eps, eps), or leave it out"
            )

    def _evaluate(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        attacks = self._attack_each(forward.crops, noise)
        return {"score": torch.stack([self.quality(a.similarities, a.mirror) for a in attacks])}

    def _explain(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        attacks = self._attack_each(forward.crops, noise)
        return {"score": torch.stack([a.displacement.abs().mean(0).sum(0) for a in attacks])}

    def _attack_each(self, crops: Tensor, noise: Tensor | None) -> list[_Attack]:
        """Attacks the images of a pass: on a GPU together, on a CPU one after the other."""
        if noise is None:
            noise = self._draw(crops)
        if self.pass_engine == "torch" and self.backbone.device.type != "cpu":
            return self._attack_together(crops, noise)
        return [self._attack(c, n) for c, n in zip(crops, noise, strict=True)]

    @property
    def noise_spec(self) -> NoiseSpec:
        """Noise in the variant's pixel range."""
        size = self.backbone.spec.input
        return NoiseSpec((self.options.k, 3, size.height_px, size.width_px), torch.float32)

    def draw_noise(self, crops: Tensor) -> Tensor:
        """Uniform in [-eps, eps)."""
        return self._draw(crops)

    def evaluate_batch(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        """All images together, by whole images and gradients."""
        if noise is None:
            noise = self._draw(forward.crops)
        dtype = self.backbone.dtype
        similarities, mirror, _ = self._attack_by_autograd(forward.crops.to(dtype), noise.to(dtype))
        return {"score": self.quality(similarities, mirror)}

    def _draw(self, crops: Tensor) -> Tensor:
        """Uniform in [-eps, eps), keyed by each crop's pixels: [n, k, 3, H, W]."""
        shape = (len(crops), self.options.k, *crops.shape[1:])
        count = self.options.k * crops[0].numel()
        keys = sample_keys(crops)
        draws = uniform_on(self.backbone.device, self.seed, Stream.FACEQAN_NOISE, keys, count)
        return ((2 * draws - 1) * self.options.eps).reshape(shape)

    def quality(self, similarities: Tensor, mirror_similarity: Tensor) -> Tensor:
        """Q from what `similarities` returns: float64, a scalar (Eq. 5 to 7).

        For n images, [n, l, k] and [n], it is [n].
        """
        s = similarities.double().flatten(-2)
        mean, std = s.mean(-1), s.std(-1, correction=0)
        quality = (1 + mean) / 2 * (1 - std).clamp(0, 1) * mirror_similarity.double()
        return quality**self.options.p

    def similarities(self, crop: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The cosines behind the score of one image.

        Args:
            crop: uint8 [3, H, W], RGB.
            noise: [k, 3, H, W], see the class.

        Returns:
            S: [l, k] for the official variant (before each step), [1, k] for the paper's (after the
            last); and s_f: a scalar, the cosine with the mirror image.
        """
        attack = self._attack(crop, noise)
        return attack.similarities, attack.mirror

    def _attack(self, crop: Tensor, noise: Tensor) -> _Attack:
        return self._attack_together(crop[None], noise[None])[0]

    def _set_up(self) -> None:
        by_differences = CapturedFunction(torch.no_grad()(self._attack_by_differences))
        fused = self.pass_engine == "torch"
        self._attack_images = by_differences if fused else self._attack_by_autograd

    def _attack_together(self, crops: Tensor, noise: Tensor) -> list[_Attack]:
        """Attacks n images; on a GPU with the engine torch as one graph of all steps."""
        backbone = self.backbone
        fused = self.pass_engine == "torch"
        dtype = fused_network(backbone).statistics_dtype if fused else backbone.dtype
        found = self._attack_images(
            crops.to(backbone.device, dtype), noise.to(backbone.device, dtype)
        )
        return [_Attack(*of_image) for of_image in zip(*found, strict=True)]

    def _attack_by_differences(self, pixels: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Only differences travel, see `fiqa_fast.fused.difference`.

        Args:
            pixels: of n images, 0..255: [n, 3, H, W].
            noise: [n, k, 3, H, W], in the variant's pixel range.

        Returns:
            similarities [n, l, k] ([n, 1, k] for the paper's variant), mirror [n], displacement
            [n, k, 3, H, W].
        """
        options, network = self.options, fused_network(self.backbone)
        official, count, size = self.variant == "official", len(pixels), self.backbone.spec.input
        image = self._from_pixels(pixels)
        pair = self.backbone.normalise(torch.cat([pixels, pixels.flip(-1)]))
        run = network.run(pair, keep_from=0)
        embeddings = network.embedding(run.outputs[-1])
        base, mirrored = embeddings[:count], embeddings[count:]
        differences = DifferencePass(network, run.kept_of(count), base)

        def in_network(difference: Tensor) -> Tensor:
            """[n, k, 3, H, W] in the variant's pixel range -> [n * k, 3, H, W] in the network's."""
            return size.normalised_difference((difference * self._grey_levels).flatten(0, 1))

        attacked = (image[:, None] + noise).clamp(-1, 1)
        rows = []
        for i in range(options.l):
            turn = differences.forward(in_network(attacked - image[:, None]))
            rows.append(turn.cosine)
            # The official code never embeds the images after its last step, so that step is void.
            if not official or i < options.l - 1:
                gradient = size.normalised_difference(differences.backward(turn))
                gradient = gradient.to(image.dtype).reshape(attacked.shape)
                attacked = sign_step(attacked, gradient, step=self._step, low=-1.0, high=1.0)
        displacement = attacked - image[:, None]
        if not official:
            rows = [differences.forward(in_network(displacement)).cosine]
        return torch.stack(rows, 1), F.cosine_similarity(base, mirrored), displacement

    def _attack_by_autograd(self, pixels: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """As `_attack_by_differences`, with whole images and autograd: the reference."""
        options, count = self.options, pixels.shape[0]
        official = self.variant == "official"
        image = self._from_pixels(pixels)
        with torch.no_grad():
            pair = self._embed(torch.cat([image, image.flip(-1)]))
            base, mirrored = pair[:count], pair[count:]
            attacked = (image[:, None] + noise).clamp(-1, 1)
        rows = []
        for i in range(options.l):
            # The official code never embeds the images after its last step, so that step is void.
            moves = not official or i < options.l - 1
            attacked.requires_grad_(moves)
            with torch.set_grad_enabled(moves):
                similarity = self._similarity(attacked, base)
            rows.append(similarity.detach())
            if moves:
                (gradient,) = torch.autograd.grad((1 - similarity).mean(1).sum(), attacked)
                attacked = sign_step(
                    attacked.detach(), gradient, step=self._step, low=-1.0, high=1.0
                )
        if not official:
            with torch.no_grad():
                rows = [self._similarity(attacked, base)]
        mirror = F.cosine_similarity(base, mirrored)
        return torch.stack(rows, 1), mirror, attacked - image[:, None]

    def _similarity(self, attacked: Tensor, base: Tensor) -> Tensor:
        """Copies [n, k, 3, H, W], embeddings of their images [n, D] -> cosines [n, k]."""
        embeddings = self._embed(attacked.flatten(0, 1)).reshape(*attacked.shape[:2], -1)
        return F.cosine_similarity(embeddings, base[:, None], dim=2)

    @property
    def _step(self) -> float:
        """Length of a step in the variant's pixel range."""
        return self.options.eps if self.variant == "official" else self.options.eps / self.options.l

    @property
    def _grey_levels(self) -> float:
        """Grey levels in 1 of the variant's pixel range."""
        return 255.0 if self.variant == "official" else 127.5

    def _from_pixels(self, pixels: Tensor) -> Tensor:
        """Pixels 0..255 -> the variant's pixel range."""
        return pixels / 255 if self.variant == "official" else pixels / 127.5 - 1

    def _embed(self, images: Tensor) -> Tensor:
        """Images in the variant's pixel range, [n, 3, H, W] -> embeddings [n, D]."""
        pixels = images * 255 if self.variant == "official" else (images + 1) * 127.5
        embeddings: Tensor = self.backbone(self.backbone.normalise(pixels))
        return embeddings
