"""Predicts, from bytes and operations alone, what the fused passes would cost on two GPUs.

    python benchmarks/cuda/predict.py

writes benchmarks/results/cuda_predictions.md. Nothing here was ever measured: no GPU was at hand.
A step of a pass takes the longer of two times, its operations at an assumed part of the peak and
its bytes at an assumed part of the memory's bandwidth; a pass takes the sum of its steps. Left out
are launches (with a CUDA graph about 1 us each), synchronisation, and caches that keep a step's
output for the next one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "benchmarks" / "results" / "cuda_predictions.md"

BATCH = 64
ELEMENT = 2  # bytes of bf16
STATISTIC = 4  # bytes of float32
GATHER_CHUNK = 256  # pixels behind one partial result, kGatherChunk of csrc/ops/cuda/tile.cuh

PEAK_FRACTION = 0.6  # of dense bf16: what convolutions are assumed to reach
BANDWIDTH_FRACTION = 0.8


class Gpu(NamedTuple):
    """Data sheet numbers: bytes/s of memory, dense bf16 operations/s."""

    name: str
    bandwidth: float
    peak: float

    def seconds(self, step: Step) -> float:
        return max(self.compute_seconds(step), self.memory_seconds(step))

    def compute_seconds(self, step: Step) -> float:
        return step.flops / (PEAK_FRACTION * self.peak)

    def memory_seconds(self, step: Step) -> float:
        return step.bytes / (BANDWIDTH_FRACTION * self.bandwidth)


GPUS = (Gpu("H100 SXM", 3.35e12, 989e12), Gpu("L4", 300e9, 121e12))


class Step(NamedTuple):
    """One kernel, for a whole batch."""

    kind: str  # "convolution", "linear" or a fused operator
    flops: float
    bytes: float


class Size(NamedTuple):
    """An activation of one image."""

    side: int
    channels: int

    @property
    def elements(self) -> int:
        return self.side**2 * self.channels


class Unit(NamedTuple):
    """A residual unit of an iresnet: its second convolution may halve the side."""

    stage: int
    before: Size
    middle: Size
    after: Size

    @property
    def has_skip_convolution(self) -> bool:
        return self.before != self.after


class Network(NamedTuple):
    """An iresnet for 112x112 crops with an embedding of 512 numbers."""

    name: str
    depths: tuple[int, int, int, int]

    def units(self) -> Iterator[Unit]:
        before = STEM
        for stage, (depth, channels) in enumerate(zip(self.depths, CHANNELS, strict=True), 1):
            for i in range(depth):
                middle = Size(before.side, channels)
                after = Size(before.side // 2 if i == 0 else before.side, channels)
                yield Unit(stage, before, middle, after)
                before = after


IMAGE = Size(112, 3)
STEM = Size(112, 64)
CHANNELS = (64, 128, 256, 512)
FEATURES, EMBEDDING = 25088, 512
NETWORKS = (Network("iresnet50", (3, 4, 14, 3)), Network("iresnet100", (3, 13, 30, 3)))


# ---- steps


def convolution(x: Size, y: Size, kernel: int, images: float, *, onto: bool = False) -> Step:
    """From x to y; `onto`: added to what lies at y. A gradient is the same from y to x."""
    taps = kernel**2
    flops = 2.0 * taps * x.channels * y.elements
    moved = x.elements + (2 if onto else 1) * y.elements
    weights = taps * x.channels * y.channels
    return Step("convolution", images * flops, ELEMENT * (images * moved + weights))


def gradient(x: Size, y: Size, kernel: int, images: float, *, onto: bool = False) -> Step:
    """At the input x of a convolution, from the gradient at y."""
    step = convolution(x, y, kernel, images)
    extra = images * x.elements if onto else 0.0
    return step._replace(bytes=step.bytes + ELEMENT * extra)


def linear(images: float) -> Step:
    weights = FEATURES * EMBEDDING
    moved = images * (FEATURES + EMBEDDING) + weights
    return Step("linear", images * 2.0 * weights, ELEMENT * moved)


def elementwise(
    kind: str, size: Size, images: float, tensors: float, flops: float, gathers: int = 0
) -> Step:
    """`tensors` activations read or written; `gathers`: of how many moments are taken."""
    chunks = -(-(size.side**2) // GATHER_CHUNK)
    partial = 2 * chunks if chunks > 1 else 0  # written and read
    moments = gathers * 2 * STATISTIC * size.channels * (1 + partial)
    moved = ELEMENT * tensors * size.elements + moments
    return Step(kind, images * flops * size.elements, images * moved)


def bn_prelu(size: Size, images: float, *, gathers: bool) -> Step:
    return elementwise("bn_prelu", size, images, 2, 9 if gathers else 4, int(gathers))


def bn_prelu_backward(size: Size, images: float) -> Step:
    return elementwise("bn_prelu_backward", size, images, 3, 10)


def bn_add_bn(size: Size, images: float, *, gathers: int) -> Step:
    """Reads x and skip, writes y and next."""
    return elementwise("bn_add_bn", size, images, 4, 6 + 5 * gathers, gathers)


def bn_add_bn_backward(size: Size, images: float) -> Step:
    """Reads grad, y and x, writes total and grad_x."""
    return elementwise("bn_add_bn_backward", size, images, 5, 9)


def prelu_difference(size: Size, images: float, copies: int) -> Step:
    """Reads d and, for all copies at once, x; writes out and the mask: 1 bit an element."""
    tensors = copies * (2 + 1 / 16) + 1
    return elementwise("prelu_difference", size, images, tensors, 10 * copies)


def prelu_difference_backward(size: Size, images: float) -> Step:
    return elementwise("prelu_difference_backward", size, images, 2 + 1 / 16, 2)


# ---- passes


def forward(network: Network, images: float, *, gathers: bool) -> list[Step]:
    steps = [convolution(IMAGE, STEM, 3, images)]
    steps += [bn_prelu(STEM, images, gathers=gathers)] * 2  # the second normalises for unit 1
    for unit in network.units():
        steps.append(convolution(unit.before, unit.middle, 3, images))
        steps.append(bn_prelu(unit.middle, images, gathers=gathers))
        steps.append(convolution(unit.middle, unit.after, 3, images))
        if unit.has_skip_convolution:
            steps.append(convolution(unit.before, unit.after, 1, images))
        count = 2 + unit.has_skip_convolution if gathers else 0
        steps.append(bn_add_bn(unit.after, images, gathers=count))
    return steps


def statistics_gradient(network: Network, images: float, tap: int) -> list[Step]:
    """GraFIQs: down to the output of stage `tap`, or to the image (0)."""
    steps = []
    for unit in network.units():
        if unit.stage <= tap:
            continue
        steps.append(bn_add_bn_backward(unit.after, images))
        steps.append(gradient(unit.middle, unit.after, 3, images))
        steps.append(bn_prelu_backward(unit.middle, images))
        if unit.has_skip_convolution:
            steps.append(bn_prelu_backward(unit.after, images))
            steps.append(gradient(unit.before, unit.after, 1, images))
        steps.append(gradient(unit.before, unit.middle, 3, images, onto=True))
    if tap == 0:
        steps.append(bn_prelu_backward(STEM, images))
        steps.append(gradient(IMAGE, STEM, 3, images))
    return steps


def differences(network: Network, images: float, copies: int) -> list[Step]:
    all_copies = images * copies
    steps = [convolution(IMAGE, STEM, 3, all_copies), prelu_difference(STEM, images, copies)]
    for unit in network.units():
        steps.append(convolution(unit.before, unit.middle, 3, all_copies))
        steps.append(prelu_difference(unit.middle, images, copies))
        if unit.has_skip_convolution:
            steps.append(convolution(unit.before, unit.after, 1, all_copies))
        steps.append(convolution(unit.middle, unit.after, 3, all_copies, onto=True))
    return [*steps, linear(all_copies)]


def differences_back(network: Network, images: float) -> list[Step]:
    steps = [linear(images)]
    for unit in network.units():
        steps.append(gradient(unit.middle, unit.after, 3, images))
        steps.append(prelu_difference_backward(unit.middle, images))
        if unit.has_skip_convolution:
            steps.append(gradient(unit.before, unit.after, 1, images))
        steps.append(gradient(unit.before, unit.middle, 3, images, onto=True))
    return [*steps, prelu_difference_backward(STEM, images), gradient(IMAGE, STEM, 3, images)]


def faceqan(network: Network, images: float, copies: int = 10, steps: int = 5) -> list[Step]:
    """The image and its mirror image, and `copies` in each step: 52 passes and 40 back."""
    whole = 2 * [*forward(network, images, gathers=False), linear(images)]
    whole += steps * differences(network, images, copies)
    return whole + (steps - 1) * differences_back(network, images * copies)


def ser_fiq(network: Network, images: float, passes: int = 100) -> list[Step]:
    """The masked features of all passes are written once and read once."""
    dropped = Step("dropout_copies", 0.0, images * ELEMENT * FEATURES * (passes + 1))
    return [*forward(network, images, gathers=False), dropped, linear(images * passes)]


def methods(network: Network) -> dict[str, list[Step]]:
    """Steps of each method for one batch."""
    run = forward(network, BATCH, gathers=True)
    return {
        "embedding": [*forward(network, BATCH, gathers=False), linear(BATCH)],
        "GraFIQs, b2": run + statistics_gradient(network, BATCH, 2),
        "GraFIQs, all six": run + statistics_gradient(network, BATCH, 0),
        "FaceQAN, k=10, l=5": faceqan(network, BATCH),
        "SER-FIQ, T=100": ser_fiq(network, BATCH),
    }


# ---- the table


SHAPES = (Size(112, 64), Size(56, 64), Size(28, 128), Size(14, 256), Size(7, 512))
COPIES = 10


def kernels(size: Size) -> list[Step]:
    return [
        bn_prelu(size, BATCH, gathers=False),
        bn_prelu(size, BATCH, gathers=True)._replace(kind="bn_prelu with moments"),
        bn_prelu_backward(size, BATCH),
        bn_add_bn(size, BATCH, gathers=0),
        bn_add_bn(size, BATCH, gathers=2)._replace(kind="bn_add_bn with moments of x, y"),
        bn_add_bn_backward(size, BATCH),
        prelu_difference(size, BATCH, COPIES)._replace(kind=f"prelu_difference, {COPIES} copies"),
        prelu_difference_backward(size, BATCH * COPIES)._replace(
            kind=f"prelu_difference_backward, {COPIES} copies"
        ),
    ]


def kernel_table() -> Iterator[str]:
    yield "| kernel | " + " | ".join(f"{s.side}x{s.side}x{s.channels}" for s in SHAPES) + " |"
    yield "|---|" + "---:|" * len(SHAPES)
    for of_kernel in zip(*map(kernels, SHAPES), strict=True):
        cells = []
        for step in of_kernel:
            assert all(g.compute_seconds(step) < g.memory_seconds(step) for g in GPUS)
            times = " / ".join(f"{1e6 * gpu.seconds(step):.0f}" for gpu in GPUS)
            cells.append(f"{step.bytes / 1e6:.0f} MB: {times}")
        yield f"| {of_kernel[0].kind} | " + " | ".join(cells) + " |"


def method_table() -> Iterator[str]:
    yield (
        "| network | method | GFLOP | MB | "
        + " | ".join(f"{g.name}: us, faces/s | by arithmetic" for g in GPUS)
        + " |"
    )
    yield "|---|---|---:|---:|" + "---:|---:|" * len(GPUS)
    for network in NETWORKS:
        for name, steps in methods(network).items():
            cells = [
                f"{sum(s.flops for s in steps) / BATCH / 1e9:.1f}",
                f"{sum(s.bytes for s in steps) / BATCH / 1e6:.0f}",
            ]
            for gpu in GPUS:
                total = sum(map(gpu.seconds, steps))
                busy = sum(
                    gpu.seconds(s) for s in steps if gpu.compute_seconds(s) >= gpu.memory_seconds(s)
                )
                per_face = total / BATCH
                cells += [f"{1e6 * per_face:.0f}, {1 / per_face:.0f}", f"{busy / total:.0%}"]
            yield f"| {network.name} | {name} | " + " | ".join(cells) + " |"


def report() -> str:
    gpus = "; ".join(
        f"{g.name}: {g.bandwidth / 1e9:.0f} GB/s, {g.peak / 1e12:.0f} TFLOP/s dense bf16"
        for g in GPUS
    )
    return "\n".join(
        [
            "# Predictions for CUDA: never measured",
            "",
            "**No GPU was at hand. These are PREDICTIONS from bytes and operations, not results.**"
            " Made by `python benchmarks/cuda/predict.py`.",
            "",
            f"Assumed: {BANDWIDTH_FRACTION:.0%} of the memory's bandwidth and"
            f" {PEAK_FRACTION:.0%} of the peak of dense bf16, whatever takes longer in each kernel;"
            " data sheets say"
            f" {gpus}. Left out: launches (about 1 us each from a CUDA graph), caches"
            " (activations of the last stages fit into L2 and may be faster), clocks under load.",
            "",
            f"## Fused kernels, batch {BATCH}, bf16",
            "",
            f"Bytes, and microseconds on {' / '.join(g.name for g in GPUS)}. All are bound by"
            " memory: they do 1 to 3 operations for each byte, both GPUs could do 295 or more.",
            "",
            *kernel_table(),
            "",
            f"## Methods, batch {BATCH}, bf16, for each face",
            "",
            "*By arithmetic*: the part of the time in kernels that the peak bounds; the rest is"
            " bound by memory. FaceQAN sends 52 images forward and 40 back.",
            "",
            *method_table(),
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=TABLE)
    arguments = parser.parse_args()
    arguments.out.write_text(report())
    print(report())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
