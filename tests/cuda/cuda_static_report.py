"""What nvcc made of the CUDA kernels, read from the machine code: no GPU is needed.

For every kernel and architecture: registers, shared memory, spills, local memory, float64
instructions, the width of its memory accesses, and theoretical occupancy. `violations` holds what
must never happen. Run as a script it writes benchmarks/results/cuda_static.json and prints a table:

    python tests/cuda/cuda_static_report.py
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"
BLOCK_THREADS = 256  # kBlock of device.cuh
WARP_THREADS = 32


class Multiprocessor(NamedTuple):
    """Limits of one multiprocessor (CUDA C++ Programming Guide, table of technical data)."""

    threads: int
    registers: int
    shared_bytes: int
    blocks: int


MULTIPROCESSORS = {
    "75": Multiprocessor(1024, 65536, 64 << 10, 16),
    "80": Multiprocessor(2048, 65536, 164 << 10, 32),
    "86": Multiprocessor(1536, 65536, 100 << 10, 16),
    "90": Multiprocessor(2048, 65536, 228 << 10, 32),
    "100": Multiprocessor(2048, 65536, 228 << 10, 32),
    "120": Multiprocessor(1536, 65536, 100 << 10, 24),
}
# Kernels that live on hiding the latency of memory: half of a multiprocessor's threads must fit.
FUSED = ("bn_prelu", "bn_add_bn", "prelu_difference")
FUSED_OCCUPANCY = 0.5
REGISTER_GRAIN = 256  # registers are handed to a warp in units of this many
RESERVED_SHARED_BYTES = 1024  # for each block, from sm_80 on


class KernelFacts(NamedTuple):
    """One kernel on one architecture."""

    kernel: str
    arch: str
    registers: int
    shared_bytes: int
    stack_bytes: int
    spill_bytes: int
    local_accesses: int
    float64_instructions: int
    global_loads: int
    global_loads_64: int
    global_loads_128: int
    global_stores: int
    global_stores_64: int
    global_stores_128: int
    instructions: int
    occupancy: float


def find_nvcc() -> str | None:
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    return os.environ.get("CUDACXX") or shutil.which(
        "nvcc", path=f"{os.environ['PATH']}:{home}/bin"
    )


def find_nvdisasm() -> str | None:
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    site = Path(sysconfig.get_path("purelib"), "nvidia", "cu13", "bin")
    return shutil.which("nvdisasm", path=f"{os.environ['PATH']}:{home}/bin:{site}")


MISSING_TOOLS = (
    "nvcc (a CUDA toolkit; set CUDA_HOME) and nvdisasm (PyPI nvidia-cuda-nvdisasm) are needed"
)


def measure(archs: tuple[str, ...] = tuple(MULTIPROCESSORS)) -> list[KernelFacts]:
    """Compiles every .cu for every architecture, as the release build does, and reads the result.

    Raises:
        FileNotFoundError: nvcc or nvdisasm is missing.
        subprocess.CalledProcessError: a compilation failed.
    """
    jobs = [(cu, a) for cu in sorted((CSRC / "ops" / "cuda").glob("*.cu")) for a in archs]
    with ThreadPoolExecutor(2) as pool:
        return [
            facts for found in pool.map(lambda job: _measure_one(*job), jobs) for facts in found
        ]


def _measure_one(cu: Path, arch: str) -> list[KernelFacts]:
    nvcc, nvdisasm = find_nvcc(), find_nvdisasm()
    if nvcc is None or nvdisasm is None:
        raise FileNotFoundError(MISSING_TOOLS)
    with tempfile.TemporaryDirectory() as folder:
        cubin = str(Path(folder) / "kernels.cubin")
        flags = ["-std=c++17", "-O3", "-DNDEBUG", f"-I{CSRC}", f"-arch=sm_{arch}", "-Xptxas=-v"]
        ptxas_log = _output([nvcc, *flags, "-cubin", str(cu), "-o", cubin])
        sass = _output([nvdisasm, "-c", cubin])
    resources = _parse_ptxas(ptxas_log)
    return [
        _facts(symbol, arch, instructions, *resources[symbol])
        for symbol, instructions in _parse_sass(sass).items()
    ]


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def _parse_ptxas(log: str) -> dict[str, tuple[int, int, int, int]]:
    """Mangled name -> registers, shared, stack and spill bytes, from `ptxas -v`."""
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        stack, stores, loads = map(
            int,
            re.findall(
                r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part
            )[0],
        )
        registers = int(re.findall(r"Used (\d+) registers", part)[0])
        shared = re.findall(r"(\d+) bytes smem", part)
        found[part.split("'")[0]] = (
            registers,
            int(shared[0]) if shared else 0,
            stack,
            stores + loads,
        )
    return found


def _parse_sass(sass: str) -> dict[str, Counter[str]]:
    """Mangled name -> how often each instruction stands in the kernel."""
    found = {}
    for part in sass.split(".section\t.text.")[1:]:
        instruction = r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_.]*)"
        found[part.split(",")[0]] = Counter(re.findall(instruction, part, re.MULTILINE))
    return found


def _facts(
    symbol: str,
    arch: str,
    instructions: Counter[str],
    registers: int,
    shared: int,
    stack: int,
    spill: int,
) -> KernelFacts:
    def count(prefixes: tuple[str, ...], suffix: str = "") -> int:
        return sum(
            n
            for name, n in instructions.items()
            if name.split(".")[0] in prefixes and (not suffix or suffix in name.split("."))
        )

    return KernelFacts(
        kernel=_readable(symbol),
        arch=arch,
        registers=registers,
        shared_bytes=shared,
        stack_bytes=stack,
        spill_bytes=spill,
        local_accesses=count(("LDL", "STL")),
        float64_instructions=count(("DADD", "DMUL", "DFMA", "DSETP", "DMNMX")),
        global_loads=count(("LDG",)),
        global_loads_64=count(("LDG",), "64"),
        global_loads_128=count(("LDG",), "128"),
        global_stores=count(("STG",)),
        global_stores_64=count(("STG",), "64"),
        global_stores_128=count(("STG",), "128"),
        instructions=sum(n for name, n in instructions.items() if name != "NOP"),
        occupancy=_occupancy(MULTIPROCESSORS[arch], registers, shared),
    )


def _readable(symbol: str) -> str:
    """`steps<float, 4>` for the mangled name of that kernel."""
    demangled = _output(["c++filt", symbol]).strip()
    match = re.search(r"(\w+(?:<[^>]*>)?)\(", demangled.replace("(anonymous namespace)", ""))
    return match[1] if match else symbol


def _occupancy(limits: Multiprocessor, registers: int, shared: int) -> float:
    warps = BLOCK_THREADS // WARP_THREADS
    per_warp = -(-registers * WARP_THREADS // REGISTER_GRAIN) * REGISTER_GRAIN
    blocks = min(
        limits.blocks,
        limits.threads // BLOCK_THREADS,
        limits.registers // (per_warp * warps),
        limits.shared_bytes // (shared + RESERVED_SHARED_BYTES),
    )
    return round(blocks * BLOCK_THREADS / limits.threads, 3)


def pack_size(kernel: str) -> int | None:
    """V of a kernel `name<T, V, ...>`; None for a kernel that moves no packs."""
    match = re.search(r"<\w+, (?:\(int\))?(\d+)", kernel)
    return int(match[1]) if match else None


def violations(facts: list[KernelFacts]) -> list[str]:
    """What must never happen, one line each."""
    found = []
    for f in facts:
        where = f"{f.kernel} on sm_{f.arch}"
        if f.spill_bytes or f.stack_bytes or f.local_accesses:
            found.append(f"{where}: registers spill to local memory")
        if f.float64_instructions:
            found.append(f"{where}: {f.float64_instructions} float64 instructions")
        packed = (pack_size(f.kernel) or 1) > 1
        # bn_add_bn.cu says why: the moments of three activations leave no registers for 16 bytes.
        narrow = bool(re.fullmatch(r"bn_add_bn_forward<__(half|nv_bfloat16), 4, true>", f.kernel))
        wide_loads = f.global_loads_64 if narrow else f.global_loads_128
        wide_stores = f.global_stores_64 if narrow else f.global_stores_128
        bits = 64 if narrow else 128
        if packed and not wide_loads:
            found.append(f"{where}: packed, but no {bits}-bit load")
        writes_packs = f.kernel.startswith(("steps", "backward", *FUSED))
        if packed and writes_packs and not wide_stores:
            found.append(f"{where}: packed, but no {bits}-bit store")
        if f.kernel.startswith(FUSED) and f.occupancy < FUSED_OCCUPANCY:
            found.append(f"{where}: occupancy {f.occupancy:.0%}")
    return found


def table(facts: list[KernelFacts]) -> str:
    """A Markdown table: registers and occupancy by architecture."""
    archs = sorted({f.arch for f in facts}, key=int)
    lines = [
        "| kernel | shared bytes | " + " | ".join(f"sm_{a}" for a in archs) + " |",
        "|---|---|" + "---|" * len(archs),
    ]
    by_kernel: dict[str, dict[str, KernelFacts]] = {}
    for f in facts:
        by_kernel.setdefault(f.kernel, {})[f.arch] = f
    for kernel, of_arch in by_kernel.items():
        cells = [f"{of_arch[a].registers} r, {of_arch[a].occupancy:.0%}" for a in archs]
        shared = max(f.shared_bytes for f in of_arch.values())
        lines.append(f"| `{kernel}` | {shared} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_json(facts: list[KernelFacts], path: Path) -> None:
    nvcc = find_nvcc()
    version = _output([nvcc, "--version"]).strip().splitlines()[-1] if nvcc else "none"
    head = {
        "nvcc": version,
        "block_threads": BLOCK_THREADS,
        "violations": violations(facts),
        "columns": KernelFacts._fields,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # One line for each kernel keeps the file small and its diffs readable.
    rows = ",\n".join(json.dumps(row) for row in facts)
    path.write_text(f'{json.dumps(head)[:-1]},\n"kernels": [\n{rows}\n]}}\n')


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = ROOT / "benchmarks" / "results" / "cuda_static.json"
    parser.add_argument("--out", type=Path, default=default)
    arguments = parser.parse_args()
    facts = measure()
    write_json(facts, arguments.out)
    print(table(facts))  # noqa: T201 - the script's output
    found = violations(facts)
    print(f"\n{len(facts)} kernels on architectures, {len(found)} violations")  # noqa: T201
    for line in found:
        print(line)  # noqa: T201
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
