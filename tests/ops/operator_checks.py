"""What every implementation of an operator must compute, and inputs that reach its special paths.

The same checks run on the CPU kernels (tests/ops), on the CUDA kernels under the emulator and on a
real device (tests/cuda). An implementation is a namespace such as ``torch.ops.fiqa_fast``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fiqa_fast.ops.abs_sum import abs_sum_reference
from fiqa_fast.ops.bn_discrepancy import (
    bn_discrepancy_backward_reference,
    bn_discrepancy_reference,
)
from fiqa_fast.ops.layout import dense, in_layout_of
from fiqa_fast.ops.sign_step import sign_step_reference

LOW_PRECISION = (torch.bfloat16, torch.float16)
DTYPES = (torch.float64, torch.float32, *LOW_PRECISION)

# Statistics and sums are float32 for every storage dtype but float64, and low precision values are
# read exactly; so these tolerances do not depend on the storage. All are relative to float64.
#   mean: a few ulp (6e-8) of the largest |x|, whatever the number of pixels.
#   var:  the same of the variance.
#   squared_error: differences of statistics, squared and summed: their errors twice over, grown by
#         the cancellation in var - running_var.
#   sum:  a few ulp, for any number of elements.
STATISTIC_TOLERANCE = {
    torch.float32: {"mean": 1e-6, "var": 2e-6, "squared_error": 1e-5, "sum": 1e-6},
    torch.float64: {"mean": 1e-14, "var": 1e-13, "squared_error": 1e-12, "sum": 1e-14},
}
# A gradient is rounded once to its storage: half an ulp (2^-9, 2^-12 relative) and a little for
# the float32 arithmetic before it.
GRADIENT_TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.bfloat16: 2**-8,
    torch.float16: 2**-11,
}

# [N, C, H, W]. C off the multiples of 8 and 64 and HW off those of 4 and 8 leave the vector paths;
# more than 1024 pixels split a channels_last plane on CUDA and give an NCHW plane 8 warps there.
SHAPES = (
    (2, 3, 4, 4),
    (1, 1, 1, 1),
    (3, 70, 1, 1),
    (2, 130, 7, 7),
    (2, 64, 14, 14),
    (1, 9, 5, 3),
    (1, 24, 33, 32),
    (2, 3, 112, 112),
)


def _strided(x: Tensor) -> Tensor:
    wide = x.new_zeros((*x.shape[:-1], 2 * x.shape[-1]))
    wide[..., ::2] = x
    return wide[..., ::2]


def _transposed(x: Tensor) -> Tensor:
    return x.transpose(2, 3).contiguous().transpose(2, 3)


def _expanded(x: Tensor) -> Tensor:
    return x[:, :1].expand(x.shape)


def _offset(x: Tensor) -> Tensor:
    """Starts one element into its memory, which breaks 16-byte alignment."""
    memory = x.new_zeros(x.numel() + 1)
    memory[1:] = x.reshape(-1)
    return memory[1:].view(x.shape)


def _channels_last_slice(x: Tensor) -> Tensor:
    """channels_last, and in a batch of one with a batch stride that nobody needs."""
    doubled = torch.cat([x, x]).contiguous(memory_format=torch.channels_last)
    return doubled[:: x.shape[0]][:1] if x.shape[0] == 1 else doubled[: x.shape[0]]


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "nchw": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "channels_last_slice": _channels_last_slice,
    "strided": _strided,
    "transposed": _transposed,
    "expanded": _expanded,
    "offset": _offset,
}


def activation(
    shape: tuple[int, ...], dtype: torch.dtype, layout: str = "nchw", seed: int = 0
) -> Tensor:
    """A random activation whose channels have different means and spreads."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=random, dtype=torch.float64)
    if len(shape) == 4:
        channel = torch.arange(shape[1], dtype=torch.float64)[:, None, None]
        x = x * (0.5 + channel % 3) + channel % 5 - 2
    return LAYOUTS[layout](x.to(dtype))


def running_statistics(x: Tensor, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Running mean and variance [C] in the dtype of the statistics of `x`."""
    random = torch.Generator().manual_seed(seed)
    mean = torch.randn(x.shape[1], generator=random, dtype=torch.float64)
    var = torch.rand(x.shape[1], generator=random, dtype=torch.float64) + 0.5
    dtype = statistics_dtype(x)
    return mean.to(x.device, dtype), var.to(x.device, dtype)


def statistics_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def assert_relative(name: str, actual: Tensor, exact: Tensor, tolerance: float) -> None:
    """|actual - exact| <= tolerance * the largest |exact|, and no NaN."""
    assert actual.shape == exact.shape, name
    if exact.numel() == 0:
        return
    error = (actual.double().cpu() - exact.double().cpu()).abs().max().item()
    assert error <= tolerance * max(exact.abs().max().item(), 1e-30), (name, error)


def check_bn_discrepancy(ops: Any, x: Tensor, use_std: bool) -> None:
    """The forward operator against the twin in float64."""
    running = running_statistics(x)
    outputs = ops.bn_discrepancy(dense(x), *running, use_std)
    # On the CPU: it has float64 wherever the operator under test runs.
    exact = bn_discrepancy_reference(
        x.double().cpu(), *(r.double().cpu() for r in running), use_std
    )
    tolerance = STATISTIC_TOLERANCE[statistics_dtype(x)]
    for name, actual, expected in zip(exact._fields, outputs, exact, strict=True):
        assert actual.dtype == statistics_dtype(x)
        assert actual.device == x.device
        if name == "mean" and x.numel():
            # Relative to |x|, not to the mean, which may be close to 0.
            scale = x.abs().max().item()
            assert_relative(name, actual.double().cpu() / scale, expected / scale, 1.0)
            error = (actual.double().cpu() - expected).abs().max().item()
            assert error <= tolerance[name] * scale, (name, error)
        else:
            assert_relative(name, actual, expected, tolerance[name])


def check_bn_discrepancy_backward(ops: Any, x: Tensor) -> None:
    """The gradient operator against its twin in float64."""
    x = dense(x)
    random = torch.Generator().manual_seed(2)
    statistics = [
        torch.randn(x.shape[:2], generator=random, dtype=torch.float64).to(
            x.device, statistics_dtype(x)
        )
        for _ in range(3)
    ]
    grad_x = ops.bn_discrepancy_backward(x, *statistics)
    assert grad_x.dtype == x.dtype
    assert grad_x.stride() == torch.empty_like(x).stride()
    exact = bn_discrepancy_backward_reference(
        x.double().cpu(), *(s.double().cpu() for s in statistics)
    )
    assert_relative("grad_x", grad_x, exact, GRADIENT_TOLERANCE[x.dtype])


def check_abs_sum(ops: Any, x: Tensor) -> None:
    """The sum of magnitudes against the twin in float64."""
    sums = ops.abs_sum(dense(x))
    assert sums.dtype == statistics_dtype(x)
    exact = abs_sum_reference(x.double().cpu())
    assert_relative("sum", sums, exact, STATISTIC_TOLERANCE[sums.dtype]["sum"])


def check_sign_step(ops: Any, x: Tensor, grad: Tensor) -> None:
    """The step equals its twin bit for bit: it rounds only once."""
    x = dense(x)
    moved = ops.sign_step(x, in_layout_of(grad, x), 0.3, -1.0, 0.7)
    assert moved.dtype == x.dtype
    torch.testing.assert_close(
        moved, sign_step_reference(x, grad, 0.3, -1.0, 0.7), rtol=0, atol=0, equal_nan=True
    )


def gradient_with_zeros(x: Tensor) -> Tensor:
    """A gradient in the layout of `x`, where some elements are 0 and one is NaN."""
    grad = torch.empty_like(x).copy_(
        torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    )
    grad[grad.abs() < 0.2] = 0
    if grad.numel() > 1:
        grad[(0,) * grad.dim()] = torch.nan
    return grad


def check_batch_invariance(ops: Any, x: Tensor) -> None:
    """Bit for bit, a sample's numbers are those that it gets alone."""
    x = dense(x)
    running = running_statistics(x)
    for use_std in (False, True):
        batch = ops.bn_discrepancy(x, *running, use_std)
        for i in range(x.shape[0]):
            alone = ops.bn_discrepancy(x[i : i + 1], *running, use_std)
            assert all(torch.equal(a[i : i + 1], b) for a, b in zip(batch, alone, strict=True))
    mean, var, _ = batch
    grads = ops.bn_discrepancy_backward(x, mean, var, mean)
    sums = ops.abs_sum(x)
    for i in range(x.shape[0]):
        one = slice(i, i + 1)
        alone = ops.bn_discrepancy_backward(x[one], mean[one], var[one], mean[one])
        assert torch.equal(grads[one], alone)
        assert torch.equal(sums[one], ops.abs_sum(x[one]))


def check_constant_channels(ops: Any, x: Tensor) -> None:
    """Channels of one value have exactly that mean, and variance 0, or use_std divides by dust."""
    values = x.mean((2, 3), keepdim=True)
    constant = values.expand(x.shape).clone(memory_format=torch.preserve_format)
    constant = in_layout_of(constant, dense(x))
    mean, var, _ = ops.bn_discrepancy(constant, *running_statistics(x), True)
    assert torch.equal(mean, values[:, :, 0, 0].to(mean.dtype))
    assert torch.equal(var, torch.zeros_like(var))


def check_large_mean(ops: Any, tolerance: float, device: str = "cpu", layout: str = "nchw") -> None:
    """Noise of 1e-2 on a mean of 1e3 keeps its variance: a one-pass sum of squares would lose it.

    float32 has a grain of 6e-5 there, so the exact variance of the stored values is the yardstick.
    The CPU kernels correct for the rounding of the mean (1e-5); the CUDA kernels merge float32
    means, whose rounding shows (2e-3).
    """
    noise = torch.randn((2, 8, 33, 32), generator=torch.Generator().manual_seed(4))
    x = LAYOUTS[layout](1e3 + 1e-2 * noise).to(device)
    _, var, _ = ops.bn_discrepancy(x, *running_statistics(x), False)
    assert_relative("var", var, x.double().cpu().var((2, 3), correction=0), tolerance)


def check_non_finite(ops: Any, x: Tensor, bad: float) -> None:
    """NaN or infinity spoils the statistics of its own channel and sample, and no others."""
    spoilt = x.clone(memory_format=torch.preserve_format)
    spoilt[1, 2, 0, 1] = bad
    running = running_statistics(x)
    clean, dirty = (ops.bn_discrepancy(t, *running, False) for t in (x, spoilt))
    hit = torch.zeros(x.shape[:2], dtype=torch.bool)
    hit[1, 2] = True
    assert torch.equal(~dirty[0].isfinite().cpu(), hit)
    assert torch.equal(dirty[1].isnan().cpu(), hit)
    assert torch.equal(dirty[2].isnan().cpu(), hit.any(1))
    assert torch.equal(dirty[0].cpu()[~hit], clean[0].cpu()[~hit])
    assert torch.equal(dirty[1].cpu()[~hit], clean[1].cpu()[~hit])
    sums = ops.abs_sum(spoilt)
    torch.testing.assert_close(sums, abs_sum_reference(spoilt), equal_nan=True)
    assert not sums[1].isfinite()
    assert sums[0] == ops.abs_sum(x)[0]


def check_empty_batch(ops: Any, device: str = "cpu") -> None:
    x = torch.empty((0, 3, 4, 4), device=device)
    mean, var, error = ops.bn_discrepancy(x, *running_statistics(x), False)
    assert mean.shape == var.shape == (0, 3)
    assert error.shape == (0,)
    assert ops.bn_discrepancy_backward(x, mean, var, mean).shape == x.shape
    assert ops.abs_sum(x).shape == (0,)
    assert ops.sign_step(x, x, 0.1, -1.0, 1.0).shape == x.shape
    nothing = torch.empty((2, 0), device=device)
    assert ops.abs_sum(nothing).tolist() == [0.0, 0.0]
