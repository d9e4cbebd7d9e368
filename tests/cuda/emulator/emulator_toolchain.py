"""Compiles the CUDA sources of csrc/ops/cuda for the CPU, against the emulator in this folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch

EMULATOR = Path(__file__).parent
CSRC = EMULATOR.parents[2] / "csrc"
CXX = os.environ.get("CXX", "g++")

# `#pragma unroll` speaks to nvcc; without contraction the bits are the same on every machine.
COMMON_FLAGS = ("-fPIC", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-ffp-contract=off")
KERNEL_FLAGS = ("-std=c++17", "-DFIQA_CUDA_EMU", f"-I{EMULATOR}")


class Sanitizer(NamedTuple):
    """Flags for the kernels, for the scheduler, which is never instrumented, and for the linker."""

    kernels: tuple[str, ...] = ()
    scheduler: tuple[str, ...] = ()
    linker: tuple[str, ...] = ()


_ADDRESS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_THREAD = ("-g", "-fsanitize=thread")
SANITIZERS = {
    "none": Sanitizer(),
    "address": Sanitizer(_ADDRESS, ("-DEMU_ASAN",), _ADDRESS),
    "thread": Sanitizer(_THREAD, ("-DEMU_TSAN",), _THREAD),
    "bytes": Sanitizer(_THREAD),  # see byte_counter.h
}


def find_cuda_headers() -> Path | None:
    """The include folder of a CUDA toolkit or of the PyPI packages, or None."""
    site = Path(sysconfig.get_path("purelib"))
    candidates = [site / "nvidia" / "cu13" / "include", Path("/usr/local/cuda/include")]
    if home := os.environ.get("CUDA_HOME"):
        candidates.insert(0, Path(home) / "include")
    for folder in candidates:
        # The three come from three PyPI packages: runtime, crt and cccl.
        if all((folder / f).exists() for f in ("cuda_fp16.h", "crt/host_defines.h", "nv/target")):
            return folder
    return None


NO_HEADERS = (
    "no CUDA headers: set CUDA_HOME or install nvidia-cuda-runtime, nvidia-cuda-crt and"
    " nvidia-cuda-cccl"
)


def build_operator_library(cache: Path) -> Path:
    """A library that registers torch.ops.fiqa_fast_emu.*; built once for each state of the sources.

    Besides the emulated kernels it holds the project's own dispatch code (csrc/ops/*.cpp).
    """
    torch_include = Path(torch.__file__).parent / "include"
    torch_lib = Path(torch.__file__).parent / "lib"
    binding_flags = (
        "-std=c++20",
        "-DFIQA_CUDA_EMU",
        "-DTORCH_TARGET_VERSION=0x020d000000000000",
        f"-isystem{torch_include}",
    )
    sources = (*(CSRC / "ops").rglob("*"), *EMULATOR.glob("cuda_emu.*"), Path(__file__))
    inputs = sorted(p for p in sources if p.is_file())
    digest = hashlib.sha256(repr((CXX, torch.__version__, COMMON_FLAGS)).encode())
    for path in inputs:
        digest.update(path.read_bytes())
    library = cache / f"fiqa_fast_emu_{digest.hexdigest()[:16]}.so"
    if library.exists():
        return library

    work = cache / f"{library.stem}.{os.getpid()}"
    work.mkdir(parents=True)
    jobs: list[tuple[Path, Sequence[str]]] = [
        (source, binding_flags) for source in sorted((CSRC / "ops").glob("*.cpp"))
    ]
    jobs += [(source, KERNEL_FLAGS) for source in cuda_sources(CSRC)]
    jobs += [(EMULATOR / "cuda_emu.cpp", KERNEL_FLAGS)]
    objects = compile_all(jobs, work, ("-O2",), CSRC)
    unfinished = work / library.name
    link = ("-shared", "-Wl,-z,defs", f"-L{torch_lib}", "-ltorch_cpu", "-lpthread")
    run_tool([CXX, *map(str, objects), *link, "-o", str(unfinished)])
    unfinished.rename(library)  # in one step: another test process may look at the same cache
    return library


def build_driver(
    work: Path, sanitizer: str = "none", csrc: Path = CSRC, *, cache: Path | None = None
) -> Path:
    """The stand-alone self-checking program of driver*.cpp, on the kernels under `csrc`."""
    sources = sorted(EMULATOR.glob("driver*.cpp"))
    return build_program(f"driver_{sanitizer}", sources, work, sanitizer, csrc, cache=cache)


def build_program(
    name: str,
    sources: Sequence[Path],
    work: Path,
    sanitizer: str = "none",
    csrc: Path = CSRC,
    *,
    cache: Path | None = None,
) -> Path:
    """A program from `sources`, the kernels under `csrc` and the emulator.

    With a `cache`, objects are kept there for other programs with the same sources.
    """
    flags = SANITIZERS[sanitizer]
    work.mkdir(parents=True, exist_ok=True)
    jobs: list[tuple[Path, Sequence[str]]] = [
        (source, (*KERNEL_FLAGS, *flags.kernels)) for source in (*cuda_sources(csrc), *sources)
    ]
    uninstrumented = ["cuda_emu.cpp"] + ["byte_counter.cpp"] * (sanitizer == "bytes")
    jobs += [(EMULATOR / name, (*KERNEL_FLAGS, *flags.scheduler)) for name in uninstrumented]
    objects = compile_all(jobs, work, ("-O1",), csrc, cache)
    program = work / name
    run_tool([CXX, *flags.linker, *map(str, objects), "-o", str(program)])
    return program


def cuda_sources(csrc: Path) -> list[Path]:
    return sorted((csrc / "ops" / "cuda").glob("*.cu"))


def compile_all(
    jobs: Sequence[tuple[Path, Sequence[str]]],
    work: Path,
    flags: Sequence[str],
    csrc: Path,
    cache: Path | None = None,
) -> list[Path]:
    """Compiles each (source, its flags) into `work`, or into the cache, two at a time."""
    headers = find_cuda_headers()
    if headers is None:
        raise FileNotFoundError(NO_HEADERS)

    def compile_one(job: tuple[Path, Sequence[str]]) -> Path:
        source, own_flags = job
        obj = work / f"{source.name}.o"  # <op>.cpp and <op>.cu stay apart
        command = [CXX, *COMMON_FLAGS, *flags, *own_flags]
        kept = cache / f"{_digest_of(command, source, csrc)}.o" if cache else None
        if kept and kept.exists():
            return kept
        command += [f"-I{csrc}", f"-isystem{headers}", "-x", "c++", "-c", str(source)]
        run_tool([*command, "-o", str(obj)])
        if kept is None:
            return obj
        kept.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(obj, kept))

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(compile_one, jobs))


def _digest_of(command: Sequence[str], source: Path, csrc: Path) -> str:
    """Of everything that an object depends on; only kernels include .cuh files."""
    patterns = ("*.h", "*.cuh") if source.suffix == ".cu" else ("*.h",)
    headers = [
        p for folder in (csrc, EMULATOR) for glob in patterns for p in sorted(folder.rglob(glob))
    ]
    digest = hashlib.sha256(repr(command).encode())
    for path in (source, *headers):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:24]


def run_tool(command: Sequence[str]) -> str:
    """Runs a compiler or the like; what it prints comes back, or goes into the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr
