"""TensorRT and TensorRT-RTX: two libraries with one interface, imported when one is asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from fiqa_fast.errors import InvalidArgumentError, UnavailableError

Flavour = Literal["tensorrt", "tensorrt-rtx"]

_MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_OLDEST = {"tensorrt": (10, 8), "tensorrt-rtx": (1, 5)}


@dataclass(frozen=True)
class Library:
    """One of the two libraries, imported.

    Attributes:
        flavour: "tensorrt" tunes a plan on the GPU that it will run on; "tensorrt-rtx" builds one
            ahead of time, for several kinds of GPUs and without any, and compiles its kernels where
            the plan is loaded.
        module: the Python module.
        version: of the library. A plan belongs to one version.
    """

    flavour: Flavour
    module: Any
    version: str

    @property
    def major(self) -> int:
        """The first number of the version."""
        return _numbers(self.version)[0]


def load_library(flavour: Flavour) -> Library:
    """Imports a library.

    Raises:
        InvalidArgumentError: there is no such flavour.
        UnavailableError: it is not installed, cannot be loaded, or is too old.
    """
    if flavour not in get_args(Flavour):
        raise InvalidArgumentError(
            f"tensorrt: expected flavour to be one of {', '.join(get_args(Flavour))},"
            f" got {flavour!r}"
        )
    remedy = f"pip install 'fiqa-fast[{flavour}]'"
    try:
        module = importlib.import_module(_MODULES[flavour])
        version = str(module.__version__)
    except (ImportError, OSError, AttributeError) as error:
        # OSError: its shared libraries are missing. AttributeError: a folder of that name.
        raise UnavailableError(
            f"{flavour}: expected the package {_MODULES[flavour]} to be installed, got: {error};"
            f" {remedy}"
        ) from error
    if _numbers(version) < _OLDEST[flavour]:
        oldest = ".".join(str(n) for n in _OLDEST[flavour])
        raise UnavailableError(
            f"{flavour}: expected version {oldest} or later, got {version}; {remedy}"
        )
    return Library(flavour, module, version)


def require_gpu(what: str) -> None:
    """Refuses where torch sees no CUDA device.

    Raises:
        UnavailableError: there is none; the message says why.
    """
    if torch.cuda.is_available():
        return
    built_for = torch.version.cuda
    reason = "this build of torch has no CUDA" if built_for is None else "no GPU or no driver"
    raise UnavailableError(
        f"{what}: expected an NVIDIA GPU that torch can use, got {reason}; run it on a machine with"
        " one and torch's CUDA build, or take the engine openvino or onnxruntime"
    )


def _numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
