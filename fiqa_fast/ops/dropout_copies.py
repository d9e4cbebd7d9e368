"""Copies of features with random ones set to zero: the sub-networks of SER-FIQ."""

from __future__ import annotations

import torch
from torch import Tensor

from fiqa_fast import _extension
from fiqa_fast.noise import Stream, UInt64Array, uniform_reference
from fiqa_fast.ops.fused import outputs_are_arguments


def dropout_copies(
    x: Tensor, samples: UInt64Array, copies: int, probability: float, *, seed: int, stream: Stream
) -> Tensor:
    """Returns T copies of each sample's features, each feature dropped with a probability.

    What is dropped is exactly what `noise.uniform(seed, stream, samples, T * F) < probability` says
    in float32, drawn on the device of x, without the draws ever being stored.

    Args:
        x: [N, F], float32, float16, bfloat16 or float64; 4 divides F.
        samples: uint64 [N], from `noise.sample_keys`.
        copies: T.
        probability: of a feature to be dropped.
        seed: 0 <= seed < 2**63.
        stream: what the draws are for.

    Returns:
        [N, T, F] like x; what is kept is not scaled.

    Raises:
        RuntimeError: a wrong shape or dtype; the message says which argument.
    """
    out = x.new_empty(len(x), copies, x.shape[1])
    if not _extension.is_available():
        dropout_copies_reference(x, samples, probability, seed, stream, out)
        return out
    x = x.contiguous()
    if x.storage_offset() % 4:
        x = x.clone()  # the kernels move four elements at a time
    keys = torch.from_numpy(samples.view("int64")).to(x.device)
    torch.ops.fiqa_fast.dropout_copies(x, keys, seed, int(stream), _threshold(probability), out)
    return out


def dropout_copies_reference(
    x: Tensor, samples: UInt64Array, probability: float, seed: int, stream: Stream, out: Tensor
) -> None:
    """The plain twin of the operator."""
    _, copies, features = out.shape
    draws = torch.from_numpy(uniform_reference(seed, stream, samples, copies * features))
    kept = (draws >= probability).reshape(out.shape).to(x.device)
    out.copy_(torch.where(kept, x[:, None], torch.zeros((), dtype=x.dtype, device=x.device)))


def _threshold(probability: float) -> int:
    """The smallest 32-bit word whose uniform number, its upper 24 bits, is kept."""
    as_float32 = torch.tensor(probability, dtype=torch.float32).item()
    numerator, denominator = as_float32.as_integer_ratio()
    return -(-(numerator << 24) // denominator) << 8


if _extension.is_available():
    torch.library.register_fake("fiqa_fast::dropout_copies", outputs_are_arguments)
