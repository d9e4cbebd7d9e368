"""The networks by name, and how they are loaded onto a device in a precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import torch

from fiqa_fast.backbones import sface
from fiqa_fast.backbones.base import PRECISIONS, Backbone, BackboneSpec
from fiqa_fast.errors import InvalidArgumentError, UnavailableError

_LOADERS: MappingProxyType[str, tuple[BackboneSpec, Callable[[Path | None], Backbone]]] = (
    MappingProxyType({"sface": (sface.SFace.spec, sface.load)})
)


def list_backbones() -> list[BackboneSpec]:
    """The facts of every network that `load_backbone` knows."""
    return [spec for spec, _ in _LOADERS.values()]


def load_backbone(
    name: str = "sface",
    *,
    weights: str | Path | None = None,
    precision: str = "auto",
    device: str = "auto",
) -> Backbone:
    """Loads a recognition network for inference.

    Args:
        name: one of `list_backbones()`.
        weights: a weights file; None takes the packaged default.
        precision: "auto" (float32, the reference), "float32", "float64", "bf16" or "fp16".
        device: "auto" (the first CUDA device, else the CPU), "cpu", "cuda" or "cuda:N".

    Returns:
        The network, frozen, in inference mode.

    Raises:
        InvalidArgumentError: an unknown name, precision or device.
        UnavailableError: the device does not exist here.
        WeightsError: the weights are missing or do not fit.
    """
    if name not in _LOADERS:
        raise InvalidArgumentError(
            f"load_backbone: expected name to be one of {', '.join(_LOADERS)}, got {name!r};"
            " `fiqa-fast models` lists them"
        )
    if precision == "auto":
        precision = "float32"
    if precision not in PRECISIONS:
        raise InvalidArgumentError(
            f"load_backbone: expected precision to be one of auto, {', '.join(PRECISIONS)},"
            f" got {precision!r}; choose one of them"
        )
    _, load = _LOADERS[name]
    torch_device = resolve_device(device)
    with torch.inference_mode(
        False
    ):  # parameters made in inference mode could not be differentiated
        return load(None if weights is None else Path(weights)).prepare(torch_device, precision)


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
