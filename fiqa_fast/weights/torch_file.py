"""PyTorch checkpoints (.pth, .pt, .ckpt), read without running what is pickled in them."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fiqa_fast.errors import WeightsError

NAME = "torch"

# Under which names training scripts put the network's tensors, beside optimiser and epoch.
_WRAPPERS = ("state_dict", "model_state_dict", "state_dict_backbone", "model", "backbone", "net")
_MAX_WRAPPERS = 4  # a mapping may be made to hold itself
_MOST_EXPANSION = 4  # torch.save does not compress
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_REMEDY = "where you trust it, save the state_dict alone: torch.save(network.state_dict(), path)"


def matches(content: bytes) -> bool:
    """Whether the content is a zip archive or a pickle, as torch.save writes them."""
    return content.startswith((_ZIP, _PICKLE))


def read(content: bytes) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    """The tensors of a state_dict, also where it is wrapped in a training checkpoint.

    Raises:
        WeightsError: the file needs code to be read, or holds no state_dict.
    """
    pickled = _pickle_of_archive(content) if content.startswith(_ZIP) else content
    try:
        with warnings.catch_warnings():
            # torch asks for a report about each unusual pickle protocol; an error says more.
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own message recommends to switch this protection off.
        raise WeightsError(_refusal(str(error), pickled)) from error
    return _tensors_of(_unwrapped(loaded)), {}


def _pickle_of_archive(content: bytes) -> bytes:
    """Refuses zip archives of others, and TorchScript, which torch.load would run."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > _MOST_EXPANSION * len(content):
            raise WeightsError(
                f"weights: expected a checkpoint that torch.save wrote, got {len(content)} bytes"
                f" that unpack to {unpacked}; save the state_dict again"
            )
        members = {name.rpartition("/")[2]: name for name in archive.namelist()}
        if "constants.pkl" in members:
            raise WeightsError(
                "weights: expected a state_dict, got a TorchScript archive, which is a program;"
                " where you trust it, save its tensors alone:"
                " torch.save(torch.jit.load(path).state_dict(), new_path)"
            )
        if "data.pkl" not in members:
            raise WeightsError(
                "weights: expected a file written by torch.save, got another zip archive with"
                f" {', '.join(sorted(members)[:4]) or 'nothing in it'}; unpack it, or bring the"
                " checkpoint itself"
            )
        return archive.read(members["data.pkl"])


def _refusal(message: str, pickled: bytes) -> str:
    """What to tell the user about a pickle that torch does not read without running code."""
    named = re.search(r"GLOBAL (\S+)", message)
    culprit = named[1] if named else _first_global(pickled)
    if culprit:
        return (
            "weights: expected a checkpoint of tensors only, got a pickle that needs the code of"
            f" {culprit}; nothing was run: {_REMEDY}"
        )
    return (
        "weights: expected a file written by torch.save, got a pickle of another kind or a damaged"
        f" one; download it again, or, {_REMEDY}"
    )


def _first_global(pickled: bytes) -> str:
    """The code that a pickle of protocol 4 or 5, which torch does not read, asks for first."""
    texts: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name == "STACK_GLOBAL":
                return ".".join(texts[-2:])
            if isinstance(argument, str):
                texts.append(argument)
    except ValueError:  # cut off
        pass
    return ""


def _unwrapped(loaded: Any) -> Any:
    """The innermost mapping, where training scripts put the state_dict."""
    for _ in range(_MAX_WRAPPERS):
        if not isinstance(loaded, Mapping):
            break
        inner = [loaded[w] for w in _WRAPPERS if isinstance(loaded.get(w), Mapping)]
        if not inner:
            break
        loaded = inner[0]
    return loaded


def _tensors_of(loaded: Any) -> dict[str, Tensor]:
    if not isinstance(loaded, Mapping):
        raise WeightsError(
            f"weights: expected a state_dict, got a pickled {type(loaded).__name__}; {_REMEDY}"
        )
    tensors = {str(k): v.detach() for k, v in loaded.items() if isinstance(v, Tensor)}
    if not tensors:
        keys = ", ".join(str(key) for key in list(loaded)[:8]) or "(none)"
        raise WeightsError(
            f"weights: expected a state_dict with tensors, got a mapping with the keys {keys};"
            f" {_REMEDY}"
        )
    return tensors
