"""Requests of Triton's python backend: tensors in, responses and typed errors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils  # exists inside Triton only
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from fiqa_fast.errors import InvalidArgumentError, UnavailableError
from fiqa_fast.types import CROP_SIZE_PX

OK = "ok"
FAILED = "failed"
"""The two values of a `status` tensor."""


def crops_of(request: Any) -> Tensor:
    """The tensor `crops` of a request: uint8 [B, 112, 112, 3], where it lies (CPU or GPU).

    Raises:
        InvalidArgumentError: another dtype or shape, or no crop.
    """
    tensor = pb_utils.get_input_tensor_by_name(request, "crops")
    crops = from_dlpack(tensor.to_dlpack())
    expected = (CROP_SIZE_PX, CROP_SIZE_PX, 3)
    if crops.dtype != torch.uint8 or tuple(crops.shape[1:]) != expected or not len(crops):
        raise InvalidArgumentError(
            f"crops: expected uint8 [B, {CROP_SIZE_PX}, {CROP_SIZE_PX}, 3] with B of 1 or more, got"
            f" {str(crops.dtype).removeprefix('torch.')} {list(crops.shape)}; align the faces first"
        )
    return crops


def texts_of(request: Any, name: str) -> list[bytes] | None:
    """A BYTES tensor [B, 1] of a request; None where an optional one was not sent."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else [bytes(text) for text in tensor.as_numpy().reshape(-1)]


def text_tensor(name: str, texts: Sequence[str | bytes]) -> Any:
    """A BYTES tensor [B, 1]; text goes as UTF-8."""
    coded = [text.encode() if isinstance(text, str) else text for text in texts]
    values = np.empty((len(coded), 1), dtype=object)
    values[:, 0] = coded
    return pb_utils.Tensor(name, values)


def response(tensors: Sequence[Any]) -> Any:
    """The answer to a request."""
    return pb_utils.InferenceResponse(output_tensors=list(tensors))


def failure(error: Exception) -> Any:
    """The answer to a request that cannot be served, with Triton's code for the reason."""
    message = str(error)
    if isinstance(error, InvalidArgumentError):
        code = pb_utils.TritonError.INVALID_ARG
    elif isinstance(error, UnavailableError | MemoryError | torch.OutOfMemoryError):
        code = pb_utils.TritonError.UNAVAILABLE
    else:
        code = pb_utils.TritonError.INTERNAL
        message = f"{type(error).__name__}: {message}"
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
