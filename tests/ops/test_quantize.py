from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from fused_checks import NONE, SHAPES, channels_last, per_channel, placed
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_checks import DTYPES, statistics_dtype
from torch import Tensor

from fiqa_fast.ops import quantize
from fiqa_fast.ops.quantize import quantize_reference

cpu = torch.ops.fiqa_fast


def check_quantize(
    x: Tensor, *, shift: bool = True, slope: bool = True, factor: float = 20.0
) -> None:
    """Within half a step of the exact number, and a little for the arithmetic before it."""
    scale = factor * per_channel(x, 1, mean=1.0)
    shifts = factor * per_channel(x, 2) if shift else None
    slopes = per_channel(x, 3) if slope else None
    q = quantize(x, scale, shifts, slopes)
    assert q.dtype == torch.uint8
    assert q.shape == x.shape
    assert q.is_contiguous(memory_format=torch.channels_last)
    z = scale.double()[:, None, None] * x.double()
    terms = z.abs()
    if shifts is not None:
        z = z + shifts.double()[:, None, None]
        terms = terms + shifts.double().abs()[:, None, None]
    if slopes is not None:
        z = torch.where(z > 0, z, slopes.double()[:, None, None] * z)
        terms = terms * slopes.double().abs().clamp_min(1)[:, None, None]
    exact = z.clamp(-128, 127) + 128
    tolerance = 1e-14 if x.dtype == torch.float64 else 1e-6
    assert ((q.double() - exact).abs() <= 0.5 + tolerance * (terms + 256)).all()


def test_smoke() -> None:
    x = placed(torch.tensor([[[[1.0, 3.0]], [[-4.0, 4.0]]]]))
    one = torch.ones(2)
    q = quantize(x, 2 * one, -one, 0.5 * one)
    assert q.flatten().tolist() == [129, 133, 124, 135]  # -4.5 is between -4 and -5: the even one
    out = torch.empty_like(q)
    assert quantize(x, 2 * one, out=out) is out
    assert out.flatten().tolist() == [130, 134, 120, 136]


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_within_half_a_step(shape: tuple[int, ...], dtype: torch.dtype, offset: bool) -> None:
    check_quantize(channels_last(shape, dtype, offset=offset))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("slope", [False, True])
def test_optional_arguments(slope: bool, shift: bool, dtype: torch.dtype) -> None:
    check_quantize(channels_last((2, 24, 5, 7), dtype), shift=shift, slope=slope)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 80), st.integers(1, 20), st.integers(1, 20)),
    dtype=st.sampled_from(DTYPES),
    factor=st.sampled_from([1e-3, 1.0, 40.0, 1e6]),
)
def test_within_half_a_step_for_any_shape(
    shape: tuple[int, ...], dtype: torch.dtype, factor: float
) -> None:
    check_quantize(channels_last(shape, dtype), factor=factor)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rounding_bounds_and_nan(dtype: torch.dtype) -> None:
    """The same in vectors of 16, and in what is left of them."""
    inf, nan = float("inf"), float("nan")
    values = {
        -0.5: 128, 0.5: 128, 1.5: 130, 2.5: 130, -1.5: 126, 126.5: 254, 127.0: 255, 127.5: 255,
        -128.0: 0, -129.0: 0, 16384.0: 255, -16384.0: 0, inf: 255, -inf: 0, nan: 128, 0.0: 128,
    }  # fmt: skip
    x = torch.tensor(list(values), dtype=dtype).reshape(1, -1, 1, 1)
    q = torch.tensor(list(values.values()), dtype=torch.uint8).reshape(1, -1, 1, 1)
    for arranged in (lambda t: t, lambda t: t.repeat(1, 4, 3, 1), lambda t: t.transpose(1, 2)):
        x_, expected = placed(arranged(x)), arranged(q)
        one = torch.ones(x_.shape[1], dtype=statistics_dtype(x))
        assert torch.equal(quantize(x_, one), expected)
        twin = torch.empty_like(x_, dtype=torch.uint8)
        quantize_reference(x_, one, NONE, NONE, twin)
        assert torch.equal(twin, expected)


def test_every_bf16_value_as_the_twin() -> None:
    x = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    x = placed(x.reshape(4, 64, 16, 16))
    one, slope = torch.ones(64), torch.full((64,), 0.25)
    twin = torch.empty_like(x, dtype=torch.uint8)
    quantize_reference(x, one, NONE, slope, twin)
    assert torch.equal(quantize(x, one, None, slope), twin)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_batch_and_thread_count_invariance(dtype: torch.dtype, threads: int) -> None:
    x = channels_last((3, 72, 40, 40), dtype)
    statistics = [30 * per_channel(x, seed) for seed in range(3)]
    whole = quantize(x, *statistics)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        for i in range(3):
            assert torch.equal(quantize(x[i : i + 1], *statistics), whole[i : i + 1])
    finally:
        torch.set_num_threads(before)


def test_empty_batch() -> None:
    x = channels_last((0, 3, 4, 5), torch.float32)
    assert quantize(x, torch.ones(3)).shape == x.shape


def test_inputs_are_left_alone_and_nothing_beyond_the_output_is_written() -> None:
    x = channels_last((1, 5, 3, 3), torch.bfloat16)
    before = x.clone()
    memory = torch.full((2, 3, 3, 5), 77, dtype=torch.uint8)
    quantize(x, torch.ones(5), out=memory[:1].permute(0, 3, 1, 2))
    assert (memory[1] == 77).all()
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck(dtype: torch.dtype) -> None:
    x = channels_last((2, 3, 4, 5), dtype)
    out = torch.zeros_like(x, dtype=torch.uint8)
    for optional in (NONE, torch.ones(3)):
        torch.library.opcheck(
            cpu.quantize.default, (x, torch.ones(3), optional, optional.clone(), out)
        )


def test_compile() -> None:
    x = channels_last((2, 3, 4, 5), torch.float32)

    def call(x: Tensor) -> Tensor:
        return quantize(x, torch.full((3,), 30.0), torch.ones(3))

    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), call(x))


def test_the_twin_runs_without_the_compiled_operators() -> None:
    code = """
    import sys, warnings
    warnings.simplefilter("ignore")
    sys.modules["fiqa_fast._host"] = None
    import torch
    from fiqa_fast import _extension
    from fiqa_fast.ops import quantize
    x = torch.arange(-3.0, 3.0).reshape(1, 2, 3, 1).contiguous(memory_format=torch.channels_last)
    print(_extension.is_available(), *quantize(x, torch.full((2,), 50.0)).flatten().tolist())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "0", "28", "78", "128", "178", "228"]


X = channels_last((2, 3, 4, 5), torch.float32)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x", X.contiguous(), "expected x .* in channels_last memory; call"),
        ("x", torch.zeros(2, 3, 4), r"expected x of shape \[N, C, H, W\]"),
        ("x", channels_last((1, 3, 0, 5), torch.float32), r"expected x .* H, W > 0, got .*W=0"),
        ("scale", torch.ones(3).double(), "expected scale in float32"),
        ("scale", torch.ones(4), "expected contiguous scale with 3 elements, got 4"),
        ("shift", torch.ones(6)[::2], "expected contiguous shift"),
        ("slope", torch.ones(2), "expected contiguous slope with 3 elements, got 2"),
        ("q", torch.empty_like(X), "expected q of dtype uint8, and of the shape"),
        ("q", torch.empty_like(X, dtype=torch.int8), "expected q of dtype uint8"),
        ("q", torch.empty(2, 3, 4, 5, dtype=torch.uint8), "expected q .* channels_last"),
        ("q", torch.empty_like(X[:1], dtype=torch.uint8), "expected q .* of the shape"),
        ("q", torch.empty(2, 3, dtype=torch.uint8), "expected q .* of the shape"),
    ],
)
def test_raw_operator_is_strict(name: str, value: Tensor, message: str) -> None:
    given = {n: torch.ones(3) for n in ("scale", "shift", "slope")}
    given |= {"x": X, "q": torch.empty_like(X, dtype=torch.uint8)}
    with pytest.raises(RuntimeError, match=f"quantize: {message}"):
        cpu.quantize(**(given | {name: value}))


def test_dtype_is_refused() -> None:
    q = torch.empty_like(X, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="tensor of float32, float16, bfloat16 or float64"):
        cpu.quantize(X.long(), torch.ones(3), NONE, NONE, q)
