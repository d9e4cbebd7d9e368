"""From a weights file to a diffusion model: its UNet, recognised by shapes, and its schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.backbones.checkpoint_differences import compare
from fiqa_fast.backbones.checkpoint_parts import count_blocks
from fiqa_fast.diffusion.layers import GROUPS, standardised
from fiqa_fast.diffusion.schedule import NoiseSchedule
from fiqa_fast.diffusion.unet import UNet, UNetSize
from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.weights.file import WeightsFile, read_weights

_FIRST_LAYER = "init_conv.weight"
_UNET = "model."  # what the library calls the UNet inside of its diffusion model
_AVERAGED = "ema_model."
_STANDARDISED = ".proj.weight"


@dataclass(frozen=True)
class DiffusionModel:
    """A UNet and the noise schedule it was trained with.

    Attributes:
        unet: frozen, in inference mode.
        schedule: its noise levels.
        weights_sha256: digest of the file.
    """

    unet: UNet
    schedule: NoiseSchedule
    weights_sha256: str


def load_diffusion(path: Path, device: torch.device, dtype: torch.dtype) -> DiffusionModel:
    """Loads a diffusion model that was trained with denoising-diffusion-pytorch 0.28 to 1.6.

    The file is a checkpoint of that library's `Trainer` (of which `model` is read, the weights as
    trained), the state_dict of a `GaussianDiffusion`, or that of its moving average (a checkpoint's
    `ema`, saved by itself: the averaged weights are read). The UNet's size comes from the shapes,
    the noise schedule from `betas`.

    Args:
        path: of the file.
        device: where the UNet runs.
        dtype: float32 or float64.

    Raises:
        WeightsError: the file cannot be read, holds no such UNet (the message lists what is
            missing, unexpected or mis-shaped), or no noise schedule.
    """
    file = read_weights(path)
    prefix = _prefix(file)
    given = {n.removeprefix(prefix): t for n, t in file.tensors.items() if n.startswith(prefix)}
    schedule = _schedule(file, prefix)
    with torch.device("meta"):
        unet = UNet(_size(given, file))
    differences = compare(unet.state_dict(), given)
    if differences:
        raise WeightsError(
            "diffusion: expected the UNet of denoising-diffusion-pytorch 0.28 to 1.6, got"
            f" {file.path} with {differences}; bring the whole, unchanged file"
        )
    state = {
        # Standardised before rounding: the released weights are float32.
        name: (standardised(t.double()) if name.endswith(_STANDARDISED) else t).to(device, dtype)
        for name, t in given.items()
    }
    unet.load_state_dict(state, assign=True)
    return DiffusionModel(unet.requires_grad_(False).eval(), schedule, file.sha256)


def _prefix(file: WeightsFile) -> str:
    """What stands in front of the UNet's names; of weights and their average, the average's."""
    found = [n.removesuffix(_FIRST_LAYER) for n in file.tensors if n.endswith(_FIRST_LAYER)]
    averaged = [prefix for prefix in found if prefix.startswith(_AVERAGED)]
    candidates = averaged or found
    if len(candidates) != 1:
        raise WeightsError(
            f"diffusion: expected a UNet with a layer {_FIRST_LAYER}, got {file.path}"
            f" ({file.format}, {len(file.tensors)} tensors) with {len(candidates)} of them;"
            " bring the checkpoint of the diffusion model"
        )
    return candidates[0]


def _schedule(file: WeightsFile, prefix: str) -> NoiseSchedule:
    name = f"{prefix.removesuffix(_UNET)}betas"
    if name not in file.tensors:
        raise WeightsError(
            f"diffusion: expected the noise schedule {name} beside the UNet, got none in"
            f" {file.path}; save the state_dict of the whole diffusion model, not the UNet's alone"
        )
    try:
        return NoiseSchedule(file.tensors[name].double().numpy().astype(np.float64))
    except InvalidArgumentError as error:
        raise WeightsError(f"diffusion: {name} of {file.path} is no schedule: {error}") from error


def _size(tensors: Mapping[str, Tensor], file: WeightsFile) -> UNetSize:
    """The UNet's widths, from its first layer and from the layer at the end of each level."""
    widths = []
    for i in range(count_blocks(tensors, "downs.")):
        plain, unshuffled = f"downs.{i}.3.weight", f"downs.{i}.3.1.weight"
        last = tensors.get(plain, tensors.get(unshuffled))
        if last is None:
            raise WeightsError(
                f"diffusion: expected {plain} or {unshuffled}, got neither in {file.path};"
                " bring the whole, unchanged file"
            )
        widths.append(last.shape[0])
    dim = tensors[_FIRST_LAYER].shape[0]
    if not widths or any(width % GROUPS for width in (dim, *widths)):
        raise WeightsError(
            f"diffusion: expected levels whose channels are multiples of {GROUPS}, got"
            f" {[dim, *widths]} in {file.path}; UNets of other libraries cannot be read"
        )
    unshuffles = len(widths) == 1 or "downs.0.3.1.weight" in tensors
    return UNetSize(dim, tuple(widths), "unshuffle" if unshuffles else "strided")
