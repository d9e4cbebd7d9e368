"""Mutation tests of the checkers: every bug planted in a kernel must be caught by one of them.

Each mutant is built and run plainly in three thread orders, then under AddressSanitizer and
UndefinedBehaviorSanitizer, then under ThreadSanitizer, until one of them objects. A mutant that
survives shows a hole in the checks of tests/cuda.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import emulator_toolchain
import pytest
from mutation import Mutation
from mutations_fused import FUSED_MUTATIONS

pytestmark = pytest.mark.slow


MUTATIONS = (
    # device.cuh
    Mutation(
        "no barrier in block_sum",
        "device.cuh",
        "  __syncthreads();\n  if (warp == 0) value",
        "  if (warp == 0) value",
    ),
    Mutation(
        "barrier that one lane of each warp reaches",
        "device.cuh",
        "  if (lane == 0) warp_sums[warp] = value;\n  __syncthreads();",
        "  if (lane == 0) {\n    warp_sums[warp] = value;\n    __syncthreads();\n  }",
    ),
    Mutation(
        "shared array read beyond its end",
        "device.cuh",
        "lane < kBlock / kWarp ? warp_sums[lane] : 0.f",
        "lane <= kBlock / kWarp ? warp_sums[lane] : 0.f",
    ),
    Mutation(
        "collective of a part of the warp",
        "device.cuh",
        "if (warp == 0) value = warp_sum(lane < kBlock / kWarp ? warp_sums[lane] : 0.f);",
        "if (threadIdx.x < kBlock / kWarp) value = warp_sum(warp_sums[lane]);",
    ),
    Mutation(
        "warp sum leaves out half of the lanes",
        "device.cuh",
        "for (int offset = kWarp / 2; offset > 0; offset /= 2) {\n    value +=",
        "for (int offset = kWarp / 4; offset > 0; offset /= 2) {\n    value +=",
    ),
    Mutation(
        "mask names half of the lanes",
        "device.cuh",
        "__shfl_xor_sync(0xffffffffu, value, offset)",
        "__shfl_xor_sync(0x0000ffffu, value, offset)",
    ),
    Mutation(
        "alignment is never checked",
        "device.cuh",
        "return reinterpret_cast<uintptr_t>(p) % 16 == 0;",
        "return p != nullptr;",
    ),
    # moments.cuh
    Mutation(
        "merge forgets the distance between the means",
        "moments.cuh",
        "b.squares + delta * delta * a.count * weight",
        "b.squares",
    ),
    Mutation(
        "merge weighs both sides alike", "moments.cuh", "weight = b.count / count", "weight = 0.5f"
    ),
    Mutation("merge of nothing divides by 0", "moments.cuh", "if (count == 0.f) return;", ""),
    # bn_discrepancy.cu
    Mutation(
        "plane read beyond its end",
        "bn_discrepancy.cu",
        "for (int i = thread; i < HW / V; i += kThreads)",
        "for (int i = thread; i <= HW / V; i += kThreads)",
    ),
    Mutation(
        "warps beyond the last plane leave before the barrier",
        "bn_discrepancy.cu",
        "  if (plane < planes) {  // a whole warp or none of it",
        "  if (thread >= HW / V) return;\n  {",
    ),
    Mutation(
        "no barrier between the warps of a plane",
        "bn_discrepancy.cu",
        "= m;\n    __syncthreads();\n    if (thread == 0)",
        "= m;\n    if (thread == 0)",
    ),
    Mutation(
        "no barrier between the rows of a channel",
        "bn_discrepancy.cu",
        "  counts[slot] = m[0].count;\n  __syncthreads();",
        "  counts[slot] = m[0].count;",
    ),
    Mutation(
        "rows after the last full group are left out",
        "bn_discrepancy.cu",
        "for (; row < last; row += rows) {",
        "for (; row + rows < last; row += rows) {",
    ),
    Mutation(
        "the last split is taken to be full",
        "bn_discrepancy.cu",
        "HW - split * static_cast<int>(kRowsPerSplit));\n      merge",
        "HW);\n      merge",
    ),
    Mutation(
        "channels beyond the last are written",
        "bn_discrepancy.cu",
        "    if (c >= C) continue;\n",
        "",
    ),
    Mutation(
        "blocks of channels overlap",
        "bn_discrepancy.cu",
        "const int c0 = (blockIdx.y * lanes + threadIdx.x) * V;",
        "const int c0 = threadIdx.x * V;",
    ),
    Mutation(
        "two blocks write the same partial result",
        "bn_discrepancy.cu",
        "partial + ((n * splits + split) * C + c) * 2;\n    out[0]",
        "partial + (n * splits * C + c) * 2;\n    out[0]",
    ),
    Mutation(
        "two threads write the same result",
        "bn_discrepancy.cu",
        "if (threadIdx.x == 0) squared_error[n] = error;",
        "if (threadIdx.x < 2) squared_error[n] = error;",
    ),
    Mutation(
        "standard deviation against variance",
        "bn_discrepancy.cu",
        "sqrtf(v) - sqrtf(running_var[c])",
        "sqrtf(v) - running_var[c]",
    ),
    Mutation(
        "gradient written beyond the plane",
        "bn_discrepancy.cu",
        "if (i >= HW / V) return;",
        "if (i > HW / V) return;",
    ),
    Mutation(
        "gradient of channels_last takes one channel's statistics",
        "bn_discrepancy.cu",
        "n * C + i % (C / V) * V;",
        "n * C + i % (C / V);",
    ),
    # abs_sum.cu
    Mutation(
        "parts overlap by one pack",
        "abs_sum.cu",
        "i < last / V; i += kBlock",
        "i <= last / V; i += kBlock",
    ),
    Mutation(
        "magnitude forgotten", "abs_sum.cu", "fabsf(load<T>(pack.at[v]))", "load<T>(pack.at[v])"
    ),
    Mutation(
        "packs where the sample ends within one",
        "abs_sum.cu",
        "M % V == 0 && aligned_16(x)",
        "aligned_16(x)",
    ),
    Mutation(
        "only the first part is added",
        "abs_sum.cu",
        "for (int i = threadIdx.x; i < splits; i += kBlock)",
        "for (int i = threadIdx.x; i < 1; i += kBlock)",
    ),
    # sign_step.cu
    Mutation("sign of 0 is 1", "sign_step.cu", "g > 0.f ? step", "g >= 0.f ? step"),
    Mutation("NaN in the gradient is lost", "sign_step.cu", ": g * 0.f)", ": 0.f)"),
    Mutation("upper bound forgotten", "sign_step.cu", "m > high ? high : m", "m"),
    Mutation("tail forgotten", "sign_step.cu", "count - body,", "0,"),
    Mutation("step beyond the end", "sign_step.cu", "if (i >= packs) return;", ""),
    *FUSED_MUTATIONS,
)


def check(program: Path, arguments: list[str], order: int, timeout_s: float) -> str | None:
    """What the checker objects to, or None."""
    for _ in range(2):  # a machine may stand still once; a deadlock does so twice
        try:
            done = subprocess.run(
                [str(program), *arguments],
                env={**os.environ, "EMU_ORDER": str(order), "TSAN_OPTIONS": "halt_on_error=1"},
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_s,
            )
            break
        except subprocess.TimeoutExpired:
            continue
    else:
        return "timeout"
    if done.returncode == 0:
        return None
    output = done.stdout + done.stderr
    signs = ("EMU-ERROR", "data race", "buffer-overflow", "poison", "misaligned", "mismatch")
    return next((sign for sign in signs if sign in output), f"exit status {done.returncode}")


def killer_of(csrc: Path, work: Path, cache: Path | None = None) -> str | None:
    """Which checker catches the kernels under `csrc`, and by what; None when they all pass."""
    program = emulator_toolchain.build_driver(work, "none", csrc, cache=cache)
    for order in (0, 1, 3):
        if sign := check(program, [], order, 60):
            return f"plain run in order {order}: {sign}"
    program = emulator_toolchain.build_driver(work, "address", csrc, cache=cache)
    if sign := check(program, [], 3, 120):
        return f"address and undefined behaviour: {sign}"
    program = emulator_toolchain.build_driver(work, "thread", csrc, cache=cache)
    if sign := check(program, ["small"], 3, 300):
        return f"thread: {sign}"
    return None


@pytest.fixture(scope="session")
def object_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Most sources are the same in every mutant."""
    return tmp_path_factory.mktemp("objects")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name.replace(" ", "-"))
def test_planted_bug_is_caught(
    cuda_headers: Path, tmp_path: Path, object_cache: Path, mutation: Mutation
) -> None:
    csrc = tmp_path / "csrc"
    shutil.copytree(emulator_toolchain.CSRC, csrc)
    path = csrc / "ops" / "cuda" / mutation.file
    source = path.read_text()
    assert source.count(mutation.old) >= 1, "the mutation no longer applies: adapt it"
    path.write_text(source.replace(mutation.old, mutation.new, 1))
    killer = killer_of(csrc, tmp_path / "build", object_cache)
    print(f"{mutation.name}: {killer}")  # noqa: T201 - shown by `pytest -rP`
    assert killer is not None
