"""safetensors: tensors and text, nothing that could run. What `fiqa-fast weights` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from fiqa_fast.errors import WeightsError

NAME = "safetensors"
_MAX_HEADER = 100_000_000  # bytes; the limit of the format's own library


def matches(content: bytes) -> bool:
    """Whether the content begins with the length of a JSON header, and that header."""
    return content[8:9] == b"{" and _header_size(content) <= _MAX_HEADER


def read(content: bytes) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    """Tensors and metadata."""
    tensors = safetensors.torch.load(content)
    header = json.loads(content[8 : 8 + _header_size(content)])
    return tensors, header.get("__metadata__", {})


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes tensors (of any device and memory layout) and metadata.

    The file appears, or replaces another one, when it is whole. The same tensors and metadata give
    the same bytes, so that a digest names them.

    Raises:
        WeightsError: the file cannot be written there.
    """
    # The format stores every tensor by itself: what shares memory is written out.
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    content = _with_metadata(safetensors.torch.save(plain), metadata)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise WeightsError(
            f"weights: expected a place where a file can be written, got {path}"
            f" ({error.strerror}); choose another one"
        ) from error


def _header_size(content: bytes) -> int:
    return int.from_bytes(content[:8], "little")


def _with_metadata(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """Puts metadata into a file in a fixed order; the library writes it in a random one."""
    data_start = 8 + _header_size(content)
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(content[8:data_start])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)  # the format aligns the data to 8 bytes
    return len(text).to_bytes(8, "little") + text + content[data_start:]
