"""The networks by name, and how they are loaded onto a device in a precision."""

from __future__ import annotations

from pathlib import Path

import torch

from fiqa_fast.backbones.base import PRECISIONS, Backbone, BackboneSpec
from fiqa_fast.backbones.checkpoints import FAMILIES, load_checkpoint
from fiqa_fast.backbones.families import dlib_resnet, none, sface
from fiqa_fast.errors import InvalidArgumentError, UnavailableError, WeightsError

DEFAULT_BACKBONE = sface.SPEC.name
_PACKAGED = {
    sface.SPEC.name: sface.DEFAULT_WEIGHTS,
    dlib_resnet.SPEC.name: dlib_resnet.DEFAULT_WEIGHTS,
}
READY_BACKBONES = (*_PACKAGED, none.SPEC.name)
"""Networks that need no file of the user's."""


def list_backbones() -> list[BackboneSpec]:
    """The facts of every network that `load_backbone` knows."""
    return [*(spec for family in FAMILIES for spec in family.SPECS), none.SPEC]


def load_backbone(
    name: str | None = None,
    *,
    weights: str | Path | None = None,
    precision: str = "auto",
    device: str = "auto",
) -> Backbone:
    """Loads a recognition network for inference.

    Args:
        name: one of `list_backbones()`. None: whatever `weights` holds, or, without them, "sface".
        weights: a weights file, see `load_checkpoint`; None takes the packaged default, which only
            some networks have.
        precision: "auto" (float32, the reference), "float32", "float64", "bf16", "fp16" or "int8"
            (for methods that say so, with weights that `fiqa-fast weights calibrate-int8` made).
        device: "auto" (the first CUDA device, else the CPU), "cpu", "cuda" or "cuda:N".

    Returns:
        The network, frozen, in inference mode.

    Raises:
        InvalidArgumentError: an unknown name, precision or device.
        UnavailableError: the device does not exist here.
        WeightsError: the weights are missing or do not fit.
    """
    if name is None and weights is None:
        name = DEFAULT_BACKBONE
    names = [spec.name for spec in list_backbones()]
    if name is not None and name not in names:
        raise InvalidArgumentError(
            f"load_backbone: expected name to be one of {', '.join(names)}, got {name!r};"
            " `fiqa-fast models` lists them"
        )
    if precision == "auto":
        precision = "float32"
    if precision not in PRECISIONS:
        raise InvalidArgumentError(
            f"load_backbone: expected precision to be one of auto, {', '.join(PRECISIONS)},"
            f" got {precision!r}; choose one of them"
        )
    torch_device = resolve_device(device)
    # Parameters made in inference mode could not be differentiated.
    with torch.inference_mode(False):
        return _load(name, weights).prepare(torch_device, precision)


def _load(name: str | None, weights: str | Path | None) -> Backbone:
    if weights is not None:
        return load_checkpoint(Path(weights), name)
    if name == none.SPEC.name:
        return none.NoNetwork()
    if name in _PACKAGED:
        return load_checkpoint(_PACKAGED[name], name)
    raise WeightsError(
        f"load_backbone: expected weights for {name}, got none; no package carries them:"
        " give the file's path as `weights` (--weights)"
    )


def resolve_device(device: str) -> torch.device:
    """Turns "auto", "cpu", "cuda" or "cuda:N" into a device that exists.

    Raises:
        InvalidArgumentError: not the name of a device.
        UnavailableError: no such device here.
    """
    cuda_devices = torch.cuda.device_count()
    if device == "auto":
        return torch.device("cuda:0" if cuda_devices else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        resolved = torch.device("meta")
    if resolved.type not in ("cpu", "cuda"):
        raise InvalidArgumentError(
            f"device: expected auto, cpu, cuda or cuda:N, got {device!r}; choose one of them"
        )
    if resolved.type == "cuda":
        resolved = torch.device("cuda", resolved.index or 0)
        if (resolved.index or 0) >= cuda_devices:
            raise UnavailableError(
                f"device: expected one of the {cuda_devices} CUDA devices that torch"
                f" {torch.__version__} sees here, got {device!r}; use device='cpu' or 'auto',"
                " and see `fiqa-fast doctor`"
            )
    return resolved
