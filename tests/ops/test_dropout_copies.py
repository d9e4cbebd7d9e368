"""dropout_copies: the features that SER-FIQ's sub-networks see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dropout_checks import SHAPES, check_dropout_copies

from fiqa_fast.noise import Stream, uniform
from fiqa_fast.ops.dropout_copies import _threshold, dropout_copies

ops = torch.ops.fiqa_fast


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bit_for_bit_the_plain_draws(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    check_dropout_copies(ops, *shape, dtype, "cpu")


def test_the_draws_are_those_of_uniform() -> None:
    samples = np.array([11, 12], dtype=np.uint64)
    draws = uniform(9, Stream.SER_FIQ_MASKS, samples, 6 * 40).reshape(2, 6, 40)
    found = dropout_copies(torch.ones(2, 40), samples, 6, 0.3, seed=9, stream=Stream.SER_FIQ_MASKS)
    assert torch.equal(found > 0, draws >= 0.3)


@pytest.mark.parametrize("probability", [0.0, 2.0**-24, 0.4, 0.5, 1 / 3, 1 - 2.0**-24])
def test_the_threshold_is_the_first_word_that_is_kept(probability: float) -> None:
    word = _threshold(probability)
    kept = torch.tensor(probability, dtype=torch.float32)
    assert torch.tensor(word >> 8, dtype=torch.float32) * 2.0**-24 >= kept
    if word:
        assert torch.tensor((word >> 8) - 1, dtype=torch.float32) * 2.0**-24 < kept


def test_a_sample_does_not_see_the_others() -> None:
    x, samples = torch.randn(3, 64), np.array([1, 2, 3], dtype=np.uint64)
    arguments = (4, 0.4)
    whole = dropout_copies(x, samples, *arguments, seed=1, stream=Stream.SER_FIQ_MASKS)
    alone = dropout_copies(x[1:2], samples[1:2], *arguments, seed=1, stream=Stream.SER_FIQ_MASKS)
    assert torch.equal(whole[1:2], alone)
    none = dropout_copies(x[:0], samples[:0], *arguments, seed=1, stream=Stream.SER_FIQ_MASKS)
    assert none.shape == (0, 4, 64)


def test_a_slice_at_any_place() -> None:
    x, samples = torch.randn(1 + 2 * 36), np.array([1, 2], dtype=np.uint64)
    sliced, whole = x[1:].reshape(2, 36), x[1:].clone().reshape(2, 36)
    found, expected = (
        dropout_copies(v, samples, 3, 0.4, seed=1, stream=Stream.SER_FIQ_MASKS)
        for v in (sliced, whole)
    )
    assert torch.equal(found, expected)
    with pytest.raises(RuntimeError, match="whole quads of elements; clone a slice"):
        ops.dropout_copies(
            sliced, torch.zeros(2, dtype=torch.int64), 0, 2, 5, torch.empty(2, 3, 36)
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.ones(2, 30)}, "4 divides F"),
        ({"x": torch.ones(32, 2).T}, "contiguous x"),
        ({"sample": torch.zeros(3, dtype=torch.int64)}, r"int64 \[N\]"),
        ({"sample": torch.zeros(2)}, r"int64 \[N\]"),
        ({"out": torch.empty(2, 3, 28)}, r"out of shape \[N, T, F\]"),
        ({"out": torch.empty(2, 3, 32, dtype=torch.float64)}, "dtype and device of x"),
        ({"threshold": 2**32}, r"threshold in \[0, 2\^32\)"),
        ({"stream": -1}, r"stream and threshold in"),
        ({"seed": -1}, "seed >= 0"),
    ],
)
def test_wrong_arguments(change: dict[str, object], message: str) -> None:
    given = {
        "x": torch.ones(2, 32),
        "sample": torch.zeros(2, dtype=torch.int64),
        "seed": 0,
        "stream": 2,
        "threshold": 5,
        "out": torch.empty(2, 3, 32),
        **change,
    }
    with pytest.raises(RuntimeError, match=message):
        ops.dropout_copies(*given.values())
