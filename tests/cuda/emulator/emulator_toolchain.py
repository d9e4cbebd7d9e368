"""Compiles the CUDA sources of csrc/ops/cuda for the CPU, against the emulator in this folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

EMULATOR = Path(__file__).parent
CSRC = EMULATOR.parents[2] / "csrc"
CXX = os.environ.get("CXX", "g++")

# `#pragma unroll` speaks to nvcc; without contraction the bits are the same on every machine.
COMMON_FLAGS = ("-fPIC", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-ffp-contract=off")
KERNEL_FLAGS = ("-std=c++17", "-DFIQA_CUDA_EMU", f"-I{EMULATOR}")

# Sanitizer -> (flags of the kernels, flags of the scheduler, which is never instrumented).
SANITIZERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "none": ((), ()),
    "address": (
        ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        ("-DEMU_ASAN",),
    ),
    "thread": (("-g", "-fsanitize=thread"), ("-DEMU_TSAN",)),
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


def build_driver(work: Path, sanitizer: str = "none", csrc: Path = CSRC) -> Path:
    """The stand-alone self-checking program of driver.cpp, on the kernels under `csrc`."""
    kernel_flags, scheduler_flags = SANITIZERS[sanitizer]
    work.mkdir(parents=True, exist_ok=True)
    jobs: list[tuple[Path, Sequence[str]]] = [
        (s, (*KERNEL_FLAGS, *kernel_flags)) for s in cuda_sources(csrc)
    ]
    jobs += [(EMULATOR / "driver.cpp", (*KERNEL_FLAGS, *kernel_flags))]
    jobs += [(EMULATOR / "cuda_emu.cpp", (*KERNEL_FLAGS, *scheduler_flags))]
    objects = compile_all(jobs, work, ("-O1",), csrc)
    program = work / f"driver_{sanitizer}"
    run_tool([CXX, *kernel_flags, *map(str, objects), "-o", str(program)])
    return program


def cuda_sources(csrc: Path) -> list[Path]:
    return sorted((csrc / "ops" / "cuda").glob("*.cu"))


def compile_all(
    jobs: Sequence[tuple[Path, Sequence[str]]], work: Path, flags: Sequence[str], csrc: Path
) -> list[Path]:
    """Compiles each (source, its flags) into `work`, two at a time."""
    headers = find_cuda_headers()
    if headers is None:
        raise FileNotFoundError(NO_HEADERS)

    def compile_one(job: tuple[Path, Sequence[str]]) -> Path:
        source, own_flags = job
        command = [CXX, *COMMON_FLAGS, *flags, *own_flags, f"-I{csrc}", f"-isystem{headers}"]
        command += ["-x", "c++", "-c", str(source)]
        obj = work / f"{source.name}.o"  # <op>.cpp and <op>.cu stay apart
        run_tool([*command, "-o", str(obj)])
        return obj

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(compile_one, jobs))


def run_tool(command: Sequence[str]) -> str:
    """Runs a compiler or the like; what it prints comes back, or goes into the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr
