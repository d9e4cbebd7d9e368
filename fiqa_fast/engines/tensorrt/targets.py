"""For which GPUs a plan is made."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fiqa_fast.engines.tensorrt.libraries import require_gpu
from fiqa_fast.engines.tensorrt.onnx_model import OnnxModel
from fiqa_fast.errors import InvalidArgumentError, UnavailableError

AHEAD_OF_TIME = ("SM75", "SM80", "SM86", "SM89", "SM120", "SM121")
"""Compute capabilities that TensorRT-RTX builds for without a GPU: Turing to Blackwell."""

TURING = "SM75"

DEFAULT = tuple(c for c in AHEAD_OF_TIME if c != TURING)
"""A plan for Turing too would be worse on all others, whose kernels are then made as Turing needs
them: its memory alone is several times as large."""


def ahead_of_time(wanted: Sequence[str] | None, model: OnnxModel) -> tuple[str, ...]:
    """The compute capabilities of a plan that is built without a GPU.

    Args:
        wanted: some of `AHEAD_OF_TIME`; None: `DEFAULT`.
        model: the graph.

    Raises:
        InvalidArgumentError: one is unknown, or named twice, or none is named.
        UnavailableError: one lacks a number format of the graph.
    """
    if wanted is None:
        return DEFAULT
    unknown = [c for c in wanted if c not in AHEAD_OF_TIME]
    if unknown or not wanted or len(set(wanted)) < len(wanted):
        raise InvalidArgumentError(
            f"tensorrt-rtx: expected compute_capabilities among {', '.join(AHEAD_OF_TIME)}, each"
            f" once, got {', '.join(wanted) or 'none'}; data centre GPUs need the flavour tensorrt"
        )
    if TURING in wanted and model.uses_bfloat16:
        raise UnavailableError(
            f"tensorrt-rtx: expected a graph without bfloat16 for {TURING}, got one with it: these"
            " GPUs have no bfloat16; export in fp16 or fp32"
        )
    return tuple(wanted)


def of_gpu(device: torch.device) -> str:
    """The compute capability of a GPU, such as "SM86"."""
    major, minor = torch.cuda.get_device_capability(device)
    return f"SM{major}{minor}"


def usable_gpu(device: str, what: str) -> torch.device:
    """A GPU by torch's name; "cuda" is "cuda:0".

    Args:
        device: "cuda" or "cuda:N".
        what: it is for, for messages.

    Raises:
        InvalidArgumentError: it is another kind of device, or none.
        UnavailableError: the machine does not have it.
    """
    try:
        named = torch.device(device)
    except RuntimeError:
        named = torch.device("cpu")
    if named.type != "cuda":
        raise InvalidArgumentError(
            f"{what}: expected device to be 'cuda' or 'cuda:N', got {device!r}; on a CPU take the"
            " engine openvino or onnxruntime"
        )
    require_gpu(what)
    gpu = torch.device("cuda", named.index or 0)
    if gpu.index >= torch.cuda.device_count():
        raise UnavailableError(
            f"{what}: expected one of {torch.cuda.device_count()} GPUs, got {gpu}"
        )
    return gpu
