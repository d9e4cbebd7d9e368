"""Plain loops that cost what the papers' official scripts cost: the baseline of every ratio.

Written from the papers and from measurements of what the scripts compute, in plain torch, without
the package's operators: one image at a time, everything that the scripts spend included. They give
the official variants' numbers (tests/benchmark compares them with the golden ones), so that what is
timed is the method and not a likeness of it. torch's switches, such as TF32 in convolutions on
CUDA, stay as the caller has them: as a user of the scripts would.

Crops are uint8 [N, 3, 112, 112], RGB; the network is a loaded `Backbone`. Results are in the
network's precision, on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fiqa_fast.backbones.base import Backbone

GRAFIQS_OUTPUTS = ("image", "b1", "b2", "b3", "b4", "mse_bns")


def forward_only(backbone: Backbone, crops: Tensor) -> Tensor:
    """Embeddings, one image at a time: what methods that only run a network cost.

    Returns:
        [N, D]; of a network without an embedding its features, [N, F].
    """
    with torch.no_grad():
        rows = [_last(backbone, backbone.trunk(_input(backbone, crop))).cpu() for crop in crops]
    return torch.cat(rows)


def grafiqs(backbone: Backbone, crops: Tensor) -> dict[str, Tensor]:
    """GraFIQs: hooks on every BatchNorm2d, autograd for the image and all four taps.

    Returns:
        For each of GRAFIQS_OUTPUTS [N].
    """
    rows = []
    with _observed_statistics(backbone) as errors:
        for crop in crops:
            errors.clear()
            x = _input(backbone, crop).requires_grad_()
            activations = [x]
            for stage in backbone.stages:
                activations.append(stage(activations[-1]))
            _last(backbone, activations[-1].flatten(1))  # unused, and computed all the same
            loss = torch.stack(errors).sum() / len(errors)
            gradients = torch.autograd.grad(loss, activations[:5], materialize_grads=True)
            rows.append(torch.stack([*(g.abs().sum() for g in gradients), loss.detach()]).cpu())
    return dict(zip(GRAFIQS_OUTPUTS, torch.stack(rows).unbind(1), strict=True))


def faceqan(
    backbone: Backbone,
    crops: Tensor,
    *,
    k: int = 10,
    l: int = 5,  # noqa: E741 (the paper's letter)
    eps: float = 0.001,
    p: int = 5,
    noise: Tensor | None = None,
) -> Tensor:
    """FaceQAN: l passes forward and backward of k copies, gradients of all weights included.

    k l + 3 images go forward and k l + 1 backward: the image itself is differentiated once.

    Args:
        backbone: the network; its weights are frozen again afterwards.
        crops: see the module.
        k: noisy copies of each image.
        l: steps of the attack.
        eps: strength of the noise and of a step, for pixels in [0, 1].
        p: exponent.
        noise: [N, k, 3, H, W], added to pixels in [0, 1]; None draws it uniformly.

    Returns:
        Q, [N].
    """
    scores = []
    for i, crop in enumerate(backbone.spec.input.fitted(crops)):
        image = crop.to(backbone.device, backbone.dtype) / 255
        draws = torch.empty(k, *image.shape).uniform_(-eps, eps) if noise is None else noise[i]
        copies = (image + draws.to(image)).clamp(-1, 1)
        with _weight_gradients(backbone):
            base = backbone(backbone.normalise(255 * image[None].requires_grad_()))
            similarities = []
            for _ in range(l):
                copies.requires_grad_()
                embeddings = backbone(backbone.normalise(255 * copies))
                similarity = F.cosine_similarity(embeddings, base)
                backbone.zero_grad()
                (1 - similarity).mean().backward()  # type: ignore[no-untyped-call]
                assert copies.grad is not None
                copies = (copies + eps * copies.grad.sign()).clamp(-1, 1).detach()
                base = base.detach()
                similarities.append(similarity.detach().cpu())
        with torch.no_grad():
            pair = backbone(backbone.normalise(255 * torch.stack([image, image.flip(-1)])))
            mirror = F.cosine_similarity(pair[0], pair[1], dim=0).cpu()
        s = torch.stack(similarities)
        scores.append(((1 + s.mean()) / 2 * (1 - s.std(correction=0)).clamp(0, 1) * mirror) ** p)
    return torch.stack(scores)


def ser_fiq(
    backbone: Backbone,
    crops: Tensor,
    *,
    T: int = 100,  # noqa: N803 (the paper's letter)
    masks: Tensor | None = None,
) -> Tensor:
    """SER-FIQ: T embeddings through dropout and the last layers, all their distances.

    Args:
        backbone: the network.
        crops: see the module.
        T: random sub-networks.
        masks: bool [N, T, F], True where a feature is kept; None draws them.

    Returns:
        The score of the authors' torch code, [N].
    """
    scores = []
    rate = backbone.spec.dropout
    with torch.no_grad():
        for i, crop in enumerate(crops):
            features = backbone.trunk(_input(backbone, crop)).expand(T, -1)
            if masks is None:
                dropped = F.dropout(features, rate, training=True)
            else:
                dropped = features * masks[i].to(features) / (1 - rate)
            embeddings = F.normalize(backbone.embed(dropped))
            distances = torch.cdist(
                embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist"
            )
            scores.append((2 / (1 + torch.exp(8 * distances.triu(1).sum() / T**2))).cpu())
    return torch.stack(scores)


def _input(backbone: Backbone, crop: Tensor) -> Tensor:
    """uint8 [3, 112, 112] -> what the network sees, [1, 3, H, W]."""
    return backbone.normalise(backbone.spec.input.fitted(crop[None]).to(backbone.device))


def _last(backbone: Backbone, features: Tensor) -> Tensor:
    """The embedding, where the network has one."""
    return backbone.embed(features) if backbone.spec.embedding_size else features


@contextmanager
def _observed_statistics(backbone: Backbone) -> Iterator[list[Tensor]]:
    """Collects, pass by pass, how far each BatchNorm2d input is from the running statistics."""
    errors: list[Tensor] = []

    def hook(bn: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        assert isinstance(bn, nn.BatchNorm2d)
        assert bn.running_mean is not None
        assert bn.running_var is not None
        mean, var = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)
        errors.append(F.mse_loss(mean, bn.running_mean) + F.mse_loss(var, bn.running_var))

    handles = [bn.register_forward_hook(hook) for bn in backbone.batch_norms]
    try:
        yield errors
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _weight_gradients(backbone: Backbone) -> Iterator[None]:
    """Lets gradients flow into all weights, as in a network that was never frozen."""
    parameters = list(backbone.parameters())
    before = [parameter.requires_grad for parameter in parameters]
    try:
        backbone.requires_grad_(True)
        yield
    finally:
        for parameter, required in zip(parameters, before, strict=True):
            parameter.requires_grad_(required)
            parameter.grad = None
