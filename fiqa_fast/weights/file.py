"""One reader for every format of weights: the tensors by name, whatever the container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from fiqa_fast.errors import FiqaError, WeightsError
from fiqa_fast.weights import (
    dlib_file,
    keras_file,
    onnx_file,
    safetensors_file,
    tensorflow_file,
    torch_file,
)
from fiqa_fast.weights.packaged import PackagedFile, locate, read_checked


@dataclass(frozen=True)
class WeightsFile:
    """What a weights file holds.

    Attributes:
        path: of the file.
        format: "torch", "safetensors", "onnx", "keras", "tensorflow" or "dlib".
        sha256: of the file's content, in hexadecimal.
        tensors: by name, as the file names them; on the CPU, in the file's dtypes.
        metadata: text that a safetensors file carries, or the description in a whole Keras model;
            empty for other formats.
        graph: what an ONNX model computes with the tensors; None for other formats.
    """

    path: Path
    format: str
    sha256: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    graph: onnx_file.Graph | None = None


# Tensors and metadata; what the file computes with them, where the format tells.
_Content = (
    tuple[Mapping[str, Tensor], Mapping[str, str]]
    | tuple[Mapping[str, Tensor], Mapping[str, str], onnx_file.Graph]
)


class _Format(Protocol):
    """What every module of a format offers."""

    NAME: str

    def matches(self, content: bytes) -> bool:
        """Whether the content begins as this format does; cheap, also for a damaged file."""

    def read(self, content: bytes) -> _Content:
        """Tensors and metadata; raises any exception when the content is damaged."""


# In the order in which they are tried. safetensors comes first: its first bytes are a length, which
# may look like the mark of any other. TensorFlow's protobuf has no mark of its own and comes last.
_FORMATS: tuple[_Format, ...] = (
    safetensors_file,
    torch_file,
    keras_file,
    dlib_file,
    onnx_file,
    tensorflow_file,
)

# A tensor can claim more than is stored: one filled with one value. Nobody needs more than this.
_MOST_CLAIMED_BYTES = 2**28

# What downloads turn out to be when they are not the file.
_NO_WEIGHTS = {
    b"<": "a web page",
    b"version https://git-lfs": "a Git LFS pointer to the file",
}


def read_weights(file: PackagedFile | Path) -> WeightsFile:
    """Reads a weights file; what it is decides the content, not the name.

    Pickled code never runs: torch files are read with `weights_only=True`.

    Args:
        file: a path, or a file of an installed package, whose digest must match.

    Returns:
        The tensors, on the CPU.

    Raises:
        WeightsError: the file cannot be read, is damaged or cut off, holds other things than
            tensors, or is of no known format.
        UnavailableError: a package that reads this format is not installed.
    """
    content, digest = read_checked(file)
    path = locate(file) if isinstance(file, PackagedFile) else file
    form = next((f for f in _FORMATS if f.matches(content)), None)
    if form is None:
        names = ", ".join(f.NAME for f in _FORMATS)
        raise WeightsError(
            f"weights: expected a file of the formats {names}, got {path}, which is"
            f" {_described(content)}; download or export it again"
        )
    try:
        file_content = WeightsFile(path, form.NAME, digest, *form.read(content))
        _check_plain(file_content.tensors)
    except FiqaError as error:
        # The formats see the content alone; here the message gets the path.
        expected, _, found = str(error).partition(", got ")
        raise type(error)(f"{expected}, got {path}: {found}") from error
    except Exception as error:  # each library has exceptions of its own for damaged files
        raise WeightsError(
            f"weights: expected a whole {form.NAME} file, got {path}, which cannot be read"
            f" ({_first_line(error)}); download or export it again"
        ) from error
    return file_content


def _check_plain(tensors: Mapping[str, Tensor]) -> None:
    """Refuses what torch can pickle besides tensors of numbers: sparse, quantised, without data."""
    for name, tensor in tensors.items():
        if tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided:
            kind = "no data" if tensor.is_meta else f"{tensor.layout} {tensor.dtype}"
        elif tensor.nbytes > max(stored := tensor.untyped_storage().nbytes(), _MOST_CLAIMED_BYTES):
            kind = f"the shape {list(tensor.shape)} and {stored} bytes"
        else:
            continue
        raise WeightsError(
            f"weights: expected dense tensors of numbers, got {name} with {kind};"
            " save the network's tensors in float32"
        )


def _described(content: bytes) -> str:
    if not content:
        return "empty"
    start = content[:256].lstrip()
    for mark, what in _NO_WEIGHTS.items():
        if start.startswith(mark):
            return what
    return f"none of them ({len(content)} bytes)"


def _first_line(error: Exception) -> str:
    """The exception's kind and the first line of its text, where it has any."""
    text = str(error).strip().split("\n", 1)[0][:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
