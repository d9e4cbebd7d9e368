"""Random draws that depend on the seed and the sample only, never on its batch or position.

The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
2011): a function from a counter to random bits, without state. A sample's key is a digest of its
pixels, so the same crop gets the same draws wherever and whenever it is scored.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fiqa_fast import _extension
from fiqa_fast.types import Float32Array

UInt64Array = npt.NDArray[np.uint64]
Words = tuple[UInt64Array, UInt64Array, UInt64Array, UInt64Array]

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


class Stream(IntEnum):
    """Which use a draw is for: each has numbers of its own under one seed."""

    FACEQAN_NOISE = 1
    SER_FIQ_MASKS = 2
    DIFFIQA_NOISE = 3
    EPOCH_ORDER = 16
    AUGMENTATION = 17
    CLASS_WEIGHTS = 32
    SAMPLED_CLASSES = 33
    ELASTIC_MARGINS = 34
    IDENTITY_CLUSTERS = 64
    MATED_PAIRS = 65


def sample_keys(crops: Tensor) -> UInt64Array:
    """Digests each crop's pixels into the key of its random draws.

    Args:
        crops: uint8 [B, 3, H, W], any device and memory layout.

    Returns:
        uint64 [B]: the first 8 bytes of BLAKE2b over the pixels in H, W, C order.
    """
    pixels = crops.permute(0, 2, 3, 1).cpu().contiguous().numpy()
    digests = (hashlib.blake2b(crop.tobytes(), digest_size=8).digest() for crop in pixels)
    return np.array([int.from_bytes(d, "little") for d in digests], dtype=np.uint64)


def uniform(seed: int, stream: Stream, samples: UInt64Array, count: int) -> Tensor:
    """Draws `count` uniform numbers for each sample.

    Args:
        seed: 0 <= seed < 2**63.
        stream: what the numbers are for.
        samples: uint64 [B], from `sample_keys`.
        count: numbers for each sample.

    Returns:
        float32 [B, count] in [0, 1), multiples of 2**-24, on the CPU.
    """
    if _extension.host is not None:
        return torch.from_numpy(_extension.host.philox_uniform(seed, stream, samples, count))
    return torch.from_numpy(uniform_reference(seed, stream, samples, count))


def uniform_on(
    device: torch.device, seed: int, stream: Stream, samples: UInt64Array, count: int
) -> Tensor:
    """As `uniform`, to the bit, drawn on a device: on a GPU by torch's own operators."""
    if device.type == "cpu":
        return uniform(seed, stream, samples, count)
    return _uniform_by_torch(device, seed, stream, samples, count)


def normal(seed: int, stream: Stream, samples: UInt64Array, count: int) -> Tensor:
    """Draws `count` standard normal numbers for each sample.

    Box and Muller, "A Note on the Generation of Random Normal Deviates" (1958): each pair of
    uniform numbers gives a pair of normal ones, so that a longer draw begins with the shorter.

    Args:
        seed: 0 <= seed < 2**63.
        stream: what the numbers are for.
        samples: uint64 [B], from `sample_keys`.
        count: numbers for each sample.

    Returns:
        float32 [B, count] on the CPU, mean 0, variance 1; no number is beyond 5.77, since the
        uniform numbers have 24 bits.
    """
    pairs = -(-count // 2)
    uniforms = uniform(seed, stream, samples, 2 * pairs).numpy().astype(np.float64)
    first, second = uniforms[:, 0::2], uniforms[:, 1::2]
    radius, angle = np.sqrt(-2 * np.log(1 - first)), 2 * np.pi * second  # 1 - first is never 0
    normals = np.empty((len(samples), 2 * pairs), np.float32)
    normals[:, 0::2], normals[:, 1::2] = radius * np.cos(angle), radius * np.sin(angle)
    return torch.from_numpy(np.ascontiguousarray(normals[:, :count]))


def uniform_reference(seed: int, stream: int, samples: UInt64Array, count: int) -> Float32Array:
    """The plain twin of the compiled generator."""
    blocks = -(-count // 4)
    shape = (len(samples), blocks)
    counter = (
        np.broadcast_to(np.arange(blocks, dtype=np.uint64), shape),
        np.full(shape, stream, dtype=np.uint64),
        np.broadcast_to((samples & _WORD)[:, None], shape),
        np.broadcast_to((samples >> _HALF)[:, None], shape),
    )
    words = np.stack(philox_4x32(counter, (seed & 0xFFFFFFFF, seed >> 32)), axis=-1)
    uniforms = (words >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
    return uniforms.reshape(len(samples), 4 * blocks)[:, :count]


def _uniform_by_torch(
    device: torch.device, seed: int, stream: Stream, samples: UInt64Array, count: int
) -> Tensor:
    """Philox in int64: a product of 32-bit words is put together from 16-bit halves."""
    word, blocks = 0xFFFFFFFF, -(-count // 4)
    keys = torch.from_numpy(samples.view(np.int64)).to(device)[:, None]
    c0 = torch.arange(blocks, device=device).expand(len(samples), blocks)
    c1 = torch.full_like(c0, int(stream))
    c2, c3 = (keys & word).expand_as(c0), ((keys >> 32) & word).expand_as(c0)
    key0, key1 = seed & word, seed >> 32
    multiplier0, multiplier1 = (int(m) for m in _MULTIPLIERS)

    def product(m: int, w: Tensor) -> tuple[Tensor, Tensor]:
        """High and low word of m * w."""
        low, high = m * (w & 0xFFFF), m * (w >> 16)
        middle = high + (low >> 16)
        return middle >> 16, ((middle & 0xFFFF) << 16) | (low & 0xFFFF)

    for _ in range(_ROUNDS):
        (a_high, a_low), (b_high, b_low) = product(multiplier0, c0), product(multiplier1, c2)
        c0, c1, c2, c3 = b_high ^ c1 ^ key0, b_low, a_high ^ c3 ^ key1, a_low
        key0, key1 = (key0 + _KEY_STEPS[0]) & word, (key1 + _KEY_STEPS[1]) & word
    words = torch.stack([c0, c1, c2, c3], -1).reshape(len(samples), -1)[:, :count]
    return (words >> 8).float() * 2.0**-24


def philox_4x32(counter: Words, key: tuple[int, int]) -> Words:
    """Ten rounds of Philox: turns counters into random words, all 32-bit numbers in uint64."""
    c0, c1, c2, c3 = counter
    key0, key1 = key
    for _ in range(_ROUNDS):
        a, b = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1 = (b >> _HALF) ^ c1 ^ np.uint64(key0), b & _WORD
        c2, c3 = (a >> _HALF) ^ c3 ^ np.uint64(key1), a & _WORD
        key0 = (key0 + _KEY_STEPS[0]) & 0xFFFFFFFF
        key1 = (key1 + _KEY_STEPS[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3
