"""What every implementation of a fused operator must compute, and inputs for its special paths.

As in `operator_checks`: the same checks run on the CPU kernels, on the CUDA kernels under the
emulator and on a real device; an implementation is a namespace such as ``torch.ops.fiqa_fast``. The
twins here are float64 on the CPU, written from the headers in csrc/ops and not from the Python
faces, so that they also judge the twins of the package.

Tolerances. An output is computed in float32 (float64 for float64) and rounded once to its storage:
half a unit in its last place, and for the arithmetic before it a few units of the largest of the
terms that were added. Moments and sums: see `operator_checks`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from operator_checks import STATISTIC_TOLERANCE, activation, statistics_dtype
from torch import Tensor

NONE = torch.empty(0)
"""Stands for an argument that is left out."""

# [N, C, H, W], each for a path of the kernels: C off the multiples of 4, 8, 16 and 64, more than
# one tile of 32 or 64 channels, more than one chunk of 64, 128 or 256 pixels, a single pixel.
SHAPES = (
    (2, 64, 7, 7),
    (1, 128, 14, 14),
    (2, 3, 5, 4),
    (3, 70, 1, 1),
    (2, 72, 3, 4),
    (1, 264, 2, 3),
    (1, 16, 16, 16),
    (2, 8, 17, 16),
    (1, 24, 33, 32),
    (1, 5, 33, 33),
)

# Half a unit in the last place of 1, a little more for two roundings; half the smallest number.
ROUNDING = {
    torch.float64: 2.0**-53,
    torch.float32: 2.0**-24,
    torch.bfloat16: 1.01 * 2.0**-8,
    torch.float16: 1.01 * 2.0**-11,
}
SMALLEST = {torch.float64: 0.0, torch.float32: 0.0, torch.bfloat16: 0.0, torch.float16: 2.0**-25}
ARITHMETIC = {torch.float64: 2.0**-53, torch.float32: 2.0**-24}
UNITS = 6  # of ARITHMETIC, for at most five additions and multiplications


def channels_last(
    shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0, *, offset: bool = False
) -> Tensor:
    """A random activation in channels_last memory; `offset`: off the 16-byte alignment."""
    return placed(activation(shape, dtype, seed=seed), offset=offset)


def placed(x: Tensor, *, offset: bool = False) -> Tensor:
    """A copy of x in channels_last memory of its own."""
    n, c, h, w = x.shape
    memory = x.new_zeros(x.numel() + offset)[int(offset) :]
    y = memory.view(n, h, w, c).permute(0, 3, 1, 2)
    return y.copy_(x)


def _is_offset(x: Tensor) -> bool:
    return x.data_ptr() % 16 != 0


def output_like(x: Tensor) -> Tensor:
    """Memory for an output, full of NaN, aligned as x is."""
    return placed(torch.full_like(x, torch.nan), offset=_is_offset(x))


def per_channel(x: Tensor, seed: int, *, mean: float = 0.0) -> Tensor:
    """Random numbers [C] in the dtype of the statistics of x; the first is 0."""
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(x.shape[1], generator=random, dtype=torch.float64) + mean
    values[0] = 0
    return values.to(x.device, statistics_dtype(x))


def rows(x: Tensor, *, wide: bool = False, seed: int | None = None) -> Tensor:
    """[2, N, C] of NaN, or random with a seed; `wide`: a slice of a wider buffer."""
    n, c = x.shape[:2]
    extra = 11 if wide else 0
    buffer = torch.full((2, n, c + extra), torch.nan, dtype=statistics_dtype(x), device=x.device)
    part = buffer[:, :, extra // 2 : extra // 2 + c]
    if seed is not None:
        random = torch.Generator().manual_seed(seed)
        part.copy_(torch.randn((2, n, c), generator=random, dtype=torch.float64))
    return part


def rows_or_none(x: Tensor, kind: str, seed: int | None = None) -> Tensor:
    """Of kind "none", "own" (memory of its own) or "wide" (a slice)."""
    return NONE if kind == "none" else rows(x, wide=kind == "wide", seed=seed)


def _exact(*tensors: Tensor) -> list[Tensor]:
    return [t.detach().to("cpu", torch.float64) for t in tensors]


def _c(statistic: Tensor) -> Tensor:
    return statistic[:, None, None]


def _nc(statistic: Tensor) -> Tensor:
    return statistic[:, :, None, None]


def assert_rounded(name: str, actual: Tensor, exact: Tensor, terms: Tensor | float) -> None:
    """`actual` is `exact`, computed from terms of that size and rounded once to its storage."""
    assert actual.shape == exact.shape, name
    dtype = actual.dtype
    arithmetic = UNITS * ARITHMETIC[statistics_dtype(actual)] * terms
    allowed = ROUNDING[dtype] * (exact.abs() + arithmetic) + arithmetic + SMALLEST[dtype]
    excess = (actual.detach().to("cpu", torch.float64) - exact).abs() - allowed
    if excess.numel():
        assert excess.max().item() <= 0, (name, excess.max().item())  # NaN fails as well


def check_moments(name: str, moments: Tensor, values: Tensor, scale: float) -> None:
    """Mean and biased variance of `values` (float64); `scale`: the size of what was averaged."""
    if not moments.numel():
        return
    tolerance = STATISTIC_TOLERANCE[moments.dtype]
    mean, var = _exact(moments)[0]
    mean_error = (mean - values.mean((2, 3))).abs().max().item()
    exact_var = values.var((2, 3), correction=0)
    var_error = (var - exact_var).abs().max().item()
    assert mean_error <= tolerance["mean"] * scale, (name, "mean", mean_error)
    allowed = tolerance["var"] * exact_var.max().item() + (tolerance["mean"] * scale) ** 2
    assert var_error <= allowed, (name, "var", var_error)


def check_untouched(name: str, moments: Tensor) -> None:
    """Around a slice nothing was written."""
    if moments.numel() and moments._base is not None:
        wide = moments._base
        count = wide.isnan().sum().item()
        assert count == wide.numel() - moments.numel(), name


def check_abs_sum(name: str, sums: Tensor, values: Tensor) -> None:
    if sums.numel():
        exact = values.abs().sum((1, 2, 3))
        error = (_exact(sums)[0] - exact).abs()
        tolerance = STATISTIC_TOLERANCE[sums.dtype]["sum"]
        assert (error <= tolerance * exact.clamp_min(1e-30)).all(), (name, error)


# ---- bn_prelu


class BnPrelu(NamedTuple):
    """Inputs of the operator."""

    x: Tensor
    scale: Tensor
    shift: Tensor
    slope: Tensor


def bn_prelu_inputs(x: Tensor, *, slope: bool = True) -> BnPrelu:
    return BnPrelu(
        x, per_channel(x, 21, mean=0.5), per_channel(x, 22), per_channel(x, 23) if slope else NONE
    )


def _prelu(z: Tensor, slope: Tensor) -> Tensor:
    return torch.where(z > 0, z, _c(slope) * z) if slope.numel() else z


def check_bn_prelu(
    ops: Any, x: Tensor, *, slope: bool = True, moments: str = "own", in_place: bool = False
) -> None:
    given = bn_prelu_inputs(x, slope=slope)
    y, of_x = output_like(x), rows_or_none(x, moments)
    ops.bn_prelu(*given, y, of_x)
    value, scale, shift, bend = _exact(*given)
    terms = (_c(scale) * value).abs() + _c(shift).abs()
    stretch = _c(bend).abs().clamp_min(1) if slope else 1.0
    assert_rounded("y", y, _prelu(_c(scale) * value + _c(shift), bend), terms * stretch)
    check_moments("x", of_x, value, value.abs().max().item())
    check_untouched("moments", of_x)
    if in_place:
        again, of_again = placed(x, offset=_is_offset(x)), rows_or_none(x, moments)
        ops.bn_prelu(again, *given[1:], again, of_again)
        assert torch.equal(again, y)
        assert torch.equal(of_again, of_x)


def check_bn_prelu_backward(
    ops: Any,
    x: Tensor,
    *,
    slope: bool = True,
    terms: str = "own",
    in_place: bool = False,
    abs_sum: bool = True,
) -> None:
    given = bn_prelu_inputs(x, slope=slope)
    grad = placed(channels_last(tuple(x.shape), x.dtype, 24).to(x.device), offset=_is_offset(x))
    of_terms = rows_or_none(x, terms, seed=25)
    grad_x = output_like(x)
    sums = x.new_full((x.shape[0],), torch.nan, dtype=statistics_dtype(x)) if abs_sum else NONE
    ops.bn_prelu_backward(grad, *given, of_terms, grad_x, sums)

    g, value, scale, shift, bend = _exact(grad, *given)
    a, b = _exact(of_terms)[0] if of_terms.numel() else torch.zeros(2, *x.shape[:2]).double()
    z = _c(scale) * value + _c(shift)
    moved = _nc(b) * value
    size = (_c(scale) * g).abs() + _nc(a).abs() + moved.abs()
    if slope:
        size = size * _c(bend).abs().clamp_min(1)
        # Where rounding decides on which side of 0 z lies, either gradient is right.
        unit = UNITS * ARITHMETIC[statistics_dtype(x)]
        near = z.abs() <= unit * ((z - _c(shift)).abs() + _c(shift).abs())
        positive = torch.where(near & (z != 0), _as_passed(grad_x, scale, g, a, moved, bend), z > 0)
        g = torch.where(positive, g, _c(bend) * g)
    assert_rounded("grad_x", grad_x, _c(scale) * g + (_nc(a) + moved), size)
    check_abs_sum("abs_sum", sums, _exact(grad)[0])
    if in_place:
        again_sums = torch.empty_like(sums)
        ops.bn_prelu_backward(grad, *given, of_terms, grad, again_sums)
        assert torch.equal(grad, grad_x)
        assert torch.equal(again_sums, sums)


def _as_passed(
    grad_x: Tensor, scale: Tensor, g: Tensor, a: Tensor, moved: Tensor, bend: Tensor
) -> Tensor:
    """Whether the result is closer to that of a positive z."""
    actual, added = _exact(grad_x)[0], _nc(a) + moved
    through, bent = _c(scale) * g + added, _c(scale) * _c(bend) * g + added
    return (actual - through).abs() <= (actual - bent).abs()


def check_bn_prelu_at_zero(ops: Any, dtype: torch.dtype, device: str = "cpu") -> None:
    """z = 0 counts as not positive: its gradient is the slope."""
    x = placed(torch.zeros((1, 8, 2, 3), dtype=dtype, device=device))
    one, zero = per_channel(x, 0).fill_(1), per_channel(x, 0).fill_(0)
    grad_x = output_like(x)
    grad = placed(torch.ones_like(x))
    ops.bn_prelu_backward(grad, x, one, zero, one * 0.25, NONE, grad_x, NONE)
    assert torch.equal(grad_x, torch.full_like(x, 0.25))


# ---- bn_add_bn


def check_bn_add_bn(
    ops: Any,
    x: Tensor,
    *,
    skip_bn: bool = True,
    next_bn: bool = True,
    moments: tuple[str, str, str] = ("own", "own", "own"),
    y_in: str = "own",
    next_in: str = "own",
) -> None:
    """`moments`: kinds for x, skip and y; `y_in`, `next_in`: "own", "x" or "skip"."""
    offset = _is_offset(x)
    skip = placed(channels_last(tuple(x.shape), x.dtype, 31).to(x.device), offset=offset)
    scale, shift = per_channel(x, 32, mean=0.5), per_channel(x, 33)
    skip_statistics = (per_channel(x, 34, mean=1), per_channel(x, 35)) if skip_bn else (NONE, NONE)
    next_statistics = (per_channel(x, 36, mean=1), per_channel(x, 37)) if next_bn else (NONE, NONE)

    def run(y_in: str, next_in: str) -> list[Tensor]:
        given = {"x": placed(x, offset=offset), "skip": placed(skip, offset=offset)}
        y = given[y_in] if y_in in given else output_like(x)
        following = given[next_in] if next_in in given else output_like(x)
        of = [rows_or_none(x, kind) for kind in moments]
        ops.bn_add_bn(
            given["x"], scale, shift, given["skip"], *skip_statistics, *next_statistics, y,
            following if next_bn else NONE, *of,
        )  # fmt: skip
        return [y, following if next_bn else NONE, *of]

    y, following, *of = run("own", "own")
    value, skipped, s, t = _exact(x, skip, scale, shift)
    added, size = skipped, skipped.abs()
    if skip_bn:
        k, b = _exact(*skip_statistics)
        added = _c(k) * skipped + _c(b)
        size = (_c(k) * skipped).abs() + _c(b).abs()
    exact = _c(s) * value + _c(t) + added
    size = size + (_c(s) * value).abs() + _c(t).abs()
    assert_rounded("y", y, exact, size)
    if next_bn:
        k, b = _exact(*next_statistics)
        assert_rounded("next", following, _c(k) * exact + _c(b), _c(k).abs() * size + _c(b).abs())
    checked = {"x": value, "skip": skipped, "y": exact}
    for (name, values), rows_of, largest in zip(
        checked.items(), of, (value.abs(), skipped.abs(), size), strict=True
    ):
        check_moments(name, rows_of, values, largest.max().item())
        check_untouched(name, rows_of)
    if (y_in, next_in) != ("own", "own"):
        for first, again in zip((y, following, *of), run(y_in, next_in), strict=True):
            assert torch.equal(first, again)


def check_bn_add_bn_backward(
    ops: Any,
    x: Tensor,
    *,
    parts: str = "grad other y x",
    x_terms: str = "own",
    y_terms: str = "own",
    total_in: str = "own",
    grad_x_in: str = "own",
    abs_sum: bool = True,
) -> None:
    """`parts`: what is given; `total_in`, `grad_x_in`: "own" or the input that takes it."""
    offset = _is_offset(x)

    def like_x(seed: int) -> Tensor:
        return placed(channels_last(tuple(x.shape), x.dtype, seed).to(x.device), offset=offset)

    has = {name: name in parts.split() for name in ("grad", "other", "y", "x")}
    inputs = {name: like_x(41 + i) for i, name in enumerate(("grad", "other", "y"))} | {"x": x}
    scale = per_channel(x, 44, mean=0.5)
    of_y = rows_or_none(x, y_terms, seed=45) if has["y"] else NONE
    of_x = rows_or_none(x, x_terms, seed=46) if has["x"] else NONE

    def run(total_in: str, grad_x_in: str) -> list[Tensor]:
        given = {k: placed(v, offset=offset) if has[k] else NONE for k, v in inputs.items()}
        total = given[total_in] if total_in in given else output_like(x)
        grad_x = given[grad_x_in] if grad_x_in in given else output_like(x)
        sums = x.new_full((x.shape[0],), torch.nan, dtype=statistics_dtype(x)) if abs_sum else NONE
        ops.bn_add_bn_backward(
            given["grad"], given["other"], given["y"], of_y, given["x"],
            scale if has["x"] else NONE, of_x, total, grad_x if has["x"] else NONE, sums,
        )  # fmt: skip
        return [total, grad_x if has["x"] else NONE, sums]

    total, grad_x, sums = run("own", "own")
    exact = torch.zeros(x.shape, dtype=torch.float64)
    size = exact.clone()
    for name in ("grad", "other"):
        if has[name]:
            (part,) = _exact(inputs[name])
            exact, size = exact + part, size + part.abs()
    if has["y"]:
        (y,), (a, b) = _exact(inputs["y"]), _exact(of_y)[0]
        exact, size = exact + (_nc(a) + _nc(b) * y), size + _nc(a).abs() + (_nc(b) * y).abs()
    assert_rounded("total", total, exact, size)
    check_abs_sum("abs_sum", sums, exact)
    if has["x"]:
        value, s = _exact(x, scale)
        a, b = _exact(of_x)[0] if of_x.numel() else torch.zeros(2, *x.shape[:2]).double()
        added = _nc(a) + _nc(b) * value
        size = _c(s).abs() * size + _nc(a).abs() + (_nc(b) * value).abs()
        assert_rounded("grad_x", grad_x, _c(s) * exact + added, size)
    if (total_in, grad_x_in) != ("own", "own"):
        for first, again in zip((total, grad_x, sums), run(total_in, grad_x_in), strict=True):
            assert torch.equal(first, again)


# ---- prelu_difference


class PreluDifference(NamedTuple):
    """Inputs of the operator."""

    d: Tensor
    x: Tensor
    scale: Tensor
    shift: Tensor
    slope: Tensor


def prelu_difference_inputs(x: Tensor, k: int) -> PreluDifference:
    """Copies whose differences are tiny, as FaceQAN's, and some large enough to cross 0."""
    n, c, h, w = x.shape
    d = activation((n * k, c, h, w), torch.float64, seed=51)
    random = torch.Generator().manual_seed(52)
    d = d * torch.where(torch.rand(d.shape, generator=random) < 0.5, 1e-3, 1.0)
    d = placed(d.to(x.device, x.dtype), offset=_is_offset(x))
    return PreluDifference(
        d, x, per_channel(x, 53, mean=0.5), per_channel(x, 54), per_channel(x, 55)
    )


def mask_for(d: Tensor) -> Tensor:
    n, c, h, w = d.shape
    return torch.full((n, h, w, c // 8), 0xA5, dtype=torch.uint8, device=d.device)


def bits_of(mask: Tensor) -> Tensor:
    """uint8 [N, H, W, C / 8] -> bool [N, C, H, W]: channel c is bit c % 8 of byte c / 8."""
    bits = mask.cpu()[..., None] >> torch.arange(8, dtype=torch.uint8) & 1
    return bits.flatten(3).permute(0, 3, 1, 2) == 1


def check_prelu_difference(
    ops: Any, x: Tensor, k: int, *, mask: bool = True, in_place: bool = False
) -> None:
    given = prelu_difference_inputs(x, k)
    out, bits = output_like(given.d), mask_for(given.d) if mask else NONE
    ops.prelu_difference(*given, out, bits)

    delta, value, scale, shift, slope = _exact(*given)
    z = (_c(scale) * value + _c(shift)).repeat_interleave(k, 0)
    terms = ((_c(scale) * value).abs() + _c(shift).abs()).repeat_interleave(k, 0)
    moved, unit = z + delta, ARITHMETIC[statistics_dtype(x)]
    near = UNITS * unit * (terms + delta.abs())
    stretch = 1 + _c(slope).abs()
    # Where both have a sign for certain and it is the same, nothing cancels: out is d or slope * d.
    same = ((moved > 0) == (z > 0)) & (moved.abs() > near) & (z.abs() > near)
    straight = torch.where(moved > 0, delta, _c(slope) * delta)
    exact = torch.where(same, straight, _prelu(moved, slope) - _prelu(z, slope))
    size = torch.where(same, straight.abs(), (terms + delta.abs()) * stretch)
    assert_rounded("out", out, exact, size)
    if mask:
        certain = moved.abs() > near
        assert torch.equal(bits_of(bits)[certain], (moved > 0)[certain])
    if in_place:
        again = torch.zeros_like(bits)
        d = placed(given.d, offset=_is_offset(given.d))
        ops.prelu_difference(d, *given[1:], d, again)
        assert torch.equal(d, out)
        assert torch.equal(again, bits)


def check_prelu_difference_backward(ops: Any, x: Tensor, *, in_place: bool = False) -> None:
    """One multiplication and one rounding: equal to the twin bit for bit."""
    grad = placed(x, offset=_is_offset(x))
    slope = per_channel(x, 61)
    random = torch.Generator().manual_seed(62)
    mask = torch.randint(0, 256, mask_for(x).shape, generator=random, dtype=torch.uint8)
    out = output_like(x)
    ops.prelu_difference_backward(grad, mask.to(x.device), slope, out)
    g, s = grad.cpu().to(statistics_dtype(x)), slope.cpu()
    expected = torch.where(bits_of(mask), g, _c(s) * g).to(x.dtype)
    assert torch.equal(out.cpu(), expected)
    if in_place:
        ops.prelu_difference_backward(grad, mask.to(x.device), slope, grad)
        assert torch.equal(grad, out)


# ---- what all of them share


def run_all(ops: Any, x: Tensor, copies: int = 2) -> dict[str, Tensor]:
    """Every output of every fused operator for x; samples first, or second in [2, N, C]."""
    given = bn_prelu_inputs(x)
    other, terms = channels_last(tuple(x.shape), x.dtype, 71).to(x.device), rows(x, seed=72)
    return run_all_on(ops, given, placed(other), terms, copies)


def run_all_on(
    ops: Any, given: BnPrelu, other: Tensor, terms: Tensor, copies: int
) -> dict[str, Tensor]:
    x = given.x
    out: dict[str, Tensor] = {}

    def activation_out(name: str) -> Tensor:
        return out.setdefault(name, output_like(x))

    def rows_out(name: str) -> Tensor:
        return out.setdefault(name, rows(x))

    def sum_out(name: str) -> Tensor:
        return out.setdefault(name, x.new_empty(x.shape[0], dtype=statistics_dtype(x)))

    ops.bn_prelu(*given, activation_out("y"), rows_out("moments"))
    ops.bn_prelu_backward(other, *given, terms, activation_out("grad_x"), sum_out("abs_sum"))
    ops.bn_add_bn(
        x, given.scale, given.shift, other, given.shift, given.scale, given.scale, given.shift,
        activation_out("sum"), activation_out("next"), rows_out("x_moments"),
        rows_out("skip_moments"), rows_out("y_moments"),
    )  # fmt: skip
    ops.bn_add_bn_backward(
        other, x, out["sum"], terms, x, given.scale, terms, activation_out("total"),
        activation_out("grad_branch"), sum_out("abs_total"),
    )  # fmt: skip
    if x.shape[1] % 8 == 0:
        d = placed(other.repeat_interleave(copies, 0))
        out["difference"], out["mask"] = output_like(d), mask_for(d)
        ops.prelu_difference(d, *given, out["difference"], out["mask"])
        out["grad_d"] = output_like(d)
        ops.prelu_difference_backward(d, out["mask"], given.slope, out["grad_d"])
    return out


def check_fused_batch_invariance(ops: Any, x: Tensor) -> None:
    """Bit for bit, a sample's numbers are those that it gets alone."""
    given = bn_prelu_inputs(x)
    other, terms = channels_last(tuple(x.shape), x.dtype, 71).to(x.device), rows(x, seed=72)
    copies = 3
    batch = run_all_on(ops, given, placed(other), terms, copies)
    for i in range(x.shape[0]):
        one = slice(i, i + 1)
        own = given._replace(x=placed(x[one]))
        alone = run_all_on(ops, own, placed(other[one]), terms[:, one].contiguous(), copies)
        for name, value in alone.items():
            whole = batch[name]
            if "moments" in name:
                part = whole[:, one]
            elif name in ("difference", "mask", "grad_d"):
                part = whole[i * copies : (i + 1) * copies]
            else:
                part = whole[one]
            assert torch.equal(part, value), name


def check_fused_constant_channels(ops: Any, x: Tensor) -> None:
    """Channels of one value have exactly that mean and variance 0, y too."""
    values = x[:, :, :1, :1]
    constant = placed(values.expand(x.shape))
    given = bn_prelu_inputs(constant)
    y, moments = output_like(x), rows(x)
    ops.bn_prelu(*given, y, moments)
    assert torch.equal(moments[0], values[:, :, 0, 0].to(moments.dtype))
    assert torch.equal(moments[1], torch.zeros_like(moments[1]))
    of = [rows(x) for _ in range(3)]
    skip = placed(-2 * constant)
    ops.bn_add_bn(constant, *given[1:3], skip, *given[1:3], NONE, NONE, y, NONE, *of)
    for name, part, expected in zip("xs", of, (values, skip[:, :, :1, :1]), strict=False):
        assert torch.equal(part[0], expected[:, :, 0, 0].to(part.dtype)), name
    for part in of:
        assert torch.equal(part[1], torch.zeros_like(part[1]))


def check_fused_large_mean(ops: Any, tolerance: float, device: str = "cpu") -> None:
    """Noise of 1e-2 on a mean of 1e3 keeps its variance; see `check_large_mean`.

    Chunks have float32 means, whose rounding shows: 5e-4 of the variance on the CPU, 2e-3 on CUDA.
    """
    noise = torch.randn((2, 8, 33, 32), generator=torch.Generator().manual_seed(4))
    x = placed(1e3 + 1e-2 * noise).to(device)
    given, y, moments = bn_prelu_inputs(x), output_like(x), rows(x)
    ops.bn_prelu(*given, y, moments)
    exact = x.double().cpu().var((2, 3), correction=0)
    error = (moments[1].double().cpu() - exact).abs().max().item()
    assert error <= tolerance * exact.max().item(), error
    of = [rows(x) for _ in range(3)]
    ops.bn_add_bn(x, *given[1:3], x, NONE, NONE, NONE, NONE, y, NONE, *of)
    for part in of[:2]:
        error = (part[1].double().cpu() - exact).abs().max().item()
        assert error <= tolerance * exact.max().item(), error


def check_fused_non_finite(ops: Any, x: Tensor, bad: float) -> None:
    """NaN or infinity spoils its own channel, sample and element, and no others."""
    spoilt = placed(x)
    spoilt[1, 2, 0, 1] = bad
    outputs: list[dict[str, Tensor]] = []
    for values in (x, spoilt):
        given = bn_prelu_inputs(x)._replace(x=values)
        y, moments = output_like(x), rows(x)
        ops.bn_prelu(*given, y, moments)
        of = [rows(x) for _ in range(3)]
        total, sums = output_like(x), x.new_empty(x.shape[0], dtype=statistics_dtype(x))
        ops.bn_add_bn(values, *given[1:3], placed(x), NONE, NONE, NONE, NONE, total, NONE, *of)
        grad_x = output_like(x)
        ops.bn_prelu_backward(values, placed(x), *given[1:], NONE, grad_x, sums)
        outputs.append(
            {"y": y, "moments": moments, "total": total, "grad_x": grad_x, "sums": sums}
            | dict(zip(("x", "skip", "sum"), of, strict=True))
        )
    clean, dirty = ({k: v.cpu() for k, v in o.items()} for o in outputs)
    channel = torch.zeros(x.shape[:2], dtype=torch.bool)
    channel[1, 2] = True
    element = torch.zeros(x.shape, dtype=torch.bool)
    element[1, 2, 0, 1] = True
    for name in ("moments", "x", "sum"):
        assert torch.equal(~dirty[name][0].isfinite(), channel), name
        assert torch.equal(dirty[name][1].isnan(), channel), name
        assert torch.equal(dirty[name][:, ~channel], clean[name][:, ~channel]), name
    assert torch.equal(dirty["skip"], clean["skip"])
    for name in ("y", "total", "grad_x"):
        assert torch.equal(~dirty[name].isfinite(), element), name
        assert torch.equal(dirty[name][~element], clean[name][~element]), name
    assert dirty["sums"].isfinite().tolist() == [i != 1 for i in range(len(x))]


def check_fused_empty_batch(ops: Any, device: str = "cpu") -> None:
    """A batch of no sample is computed, with every argument given."""
    x = channels_last((0, 8, 4, 4), torch.float32).to(device)
    run_all_on(ops, bn_prelu_inputs(x), placed(x), rows(x), 3)
