import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast import _extension, noise
from fiqa_fast.noise import (
    Stream,
    normal,
    philox_4x32,
    sample_keys,
    uniform,
    uniform_reference,
)

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_reference_gives_the_known_answers(counter, key, expected):
    """Known-answer vectors of the authors' Random123 library for philox4x32-10."""
    words = philox_4x32(tuple(np.array([c], np.uint64) for c in counter), key)
    assert tuple(int(w[0]) for w in words) == expected


@given(
    seed=st.integers(0, 2**63 - 1),
    stream=st.sampled_from(list(Stream)),
    samples=st.lists(st.integers(0, 2**64 - 1), max_size=4),
    count=st.one_of(st.integers(0, 300), st.integers(16_300, 16_500)),
)
def test_compiled_equals_reference(seed, stream, samples, count):
    assert _extension.host is not None
    keys = np.array(samples, np.uint64)
    compiled = _extension.host.philox_uniform(seed, stream, keys, count)
    np.testing.assert_array_equal(compiled, uniform_reference(seed, stream, keys, count))


def test_threads_do_not_change_the_numbers():
    keys = np.arange(3, dtype=np.uint64)
    one = _extension.host.philox_uniform(1, 1, keys, 100_000, threads=1)
    np.testing.assert_array_equal(
        one, _extension.host.philox_uniform(1, 1, keys, 100_000, threads=4)
    )


def test_numbers_are_uniform_and_independent():
    u = uniform(5, Stream.FACEQAN_NOISE, np.array([1, 2], np.uint64), 200_000).double()
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 0.002
    assert abs(u.var() - 1 / 12) < 0.001
    assert abs(torch.corrcoef(u)[0, 1]) < 0.01  # two samples
    assert abs(torch.corrcoef(torch.stack([u[0, :-1], u[0, 1:]]))[0, 1]) < 0.01  # neighbours


def test_seed_stream_and_sample_each_change_the_numbers():
    key = np.array([7], np.uint64)
    draws = [
        uniform(0, Stream.FACEQAN_NOISE, key, 64),
        uniform(1, Stream.FACEQAN_NOISE, key, 64),
        uniform(0, Stream.SER_FIQ_MASKS, key, 64),
        uniform(0, Stream.FACEQAN_NOISE, key + np.uint64(1), 64),
    ]
    assert len({tuple(d[0].tolist()) for d in draws}) == 4


def test_a_longer_draw_begins_with_the_shorter():
    key = np.array([7], np.uint64)
    long, short = (uniform(3, Stream.FACEQAN_NOISE, key, n) for n in (1000, 10))
    assert torch.equal(long[:, :10], short)


def test_normal_numbers_are_box_and_mullers():
    keys = np.array([7, 8], np.uint64)
    u = uniform(3, Stream.DIFFIQA_NOISE, keys, 6).double()
    n = normal(3, Stream.DIFFIQA_NOISE, keys, 5).double()
    assert n.shape == (2, 5)
    for i in range(5):
        first, second = u[:, i // 2 * 2], u[:, i // 2 * 2 + 1]
        wave = torch.sin if i % 2 else torch.cos
        expected = (-2 * torch.log1p(-first)).sqrt() * wave(2 * torch.pi * second)
        torch.testing.assert_close(n[:, i], expected, rtol=1e-6, atol=1e-7)


def test_normal_numbers_are_normal_and_independent():
    n = normal(5, Stream.DIFFIQA_NOISE, np.array([1, 2], np.uint64), 200_000)
    assert scipy.stats.kstest(n[0].numpy(), "norm").pvalue > 1e-3
    n = n.double()
    assert abs(n.mean()) < 0.01
    assert abs(n.var() - 1) < 0.01
    assert abs((n**4).mean() - 3) < 0.05
    assert n.abs().max() < 5.78
    assert abs(torch.corrcoef(n)[0, 1]) < 0.01  # two samples
    assert abs(torch.corrcoef(torch.stack([n[0, :-1], n[0, 1:]]))[0, 1]) < 0.01  # neighbours
    squares = n[0] ** 2
    assert abs(torch.corrcoef(torch.stack([squares[0::2], squares[1::2]]))[0, 1]) < 0.01  # a pair


def test_a_longer_normal_draw_begins_with_the_shorter():
    key = np.array([7], np.uint64)
    long, short = (normal(3, Stream.DIFFIQA_NOISE, key, n) for n in (1000, 11))
    assert torch.equal(long[:, :11], short)
    assert normal(3, Stream.DIFFIQA_NOISE, key, 0).shape == (1, 0)


def test_keys_depend_on_pixels_only():
    crops = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    keys = sample_keys(crops)
    assert len(set(keys.tolist())) == 3
    np.testing.assert_array_equal(sample_keys(crops[1:2]), keys[1:2])
    channels_last = crops.contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(sample_keys(channels_last), keys)


def test_bad_arguments_of_the_compiled_generator():
    with pytest.raises(ValueError, match=r"samples of shape \[N\]"):
        _extension.host.philox_uniform(0, 0, np.zeros((1, 1), np.uint64), 4)
    with pytest.raises(ValueError, match="count"):
        _extension.host.philox_uniform(0, 0, np.zeros(1, np.uint64), -1)


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
@pytest.mark.parametrize("count", [1, 4, 10, 4099])
def test_drawing_by_torch_gives_the_same_bits(seed, count):
    """What runs on a GPU, here on the CPU."""
    samples = np.array([0, 5, 2**64 - 7], dtype=np.uint64)
    expected = uniform(seed, Stream.FACEQAN_NOISE, samples, count)
    cpu = torch.device("cpu")
    found = noise._uniform_by_torch(cpu, seed, Stream.FACEQAN_NOISE, samples, count)
    assert torch.equal(found, expected)
    assert torch.equal(noise.uniform_on(cpu, seed, Stream.FACEQAN_NOISE, samples, count), expected)
