"""Weights in TensorFlow's order of axes, turned into torch's."""

from __future__ import annotations

import torch
from torch import Tensor


def to_torch(tensor: Tensor) -> Tensor:
    """Turns a weight of TensorFlow or Keras into torch's order of axes.

    Args:
        tensor: a kernel [rows, columns, in, out] or, depthwise, [rows, columns, channels, 1]; a
            matrix [in, out]; or a vector. (A kernel with a single output is taken for depthwise.)

    Returns:
        [out, in, rows, columns], [channels, 1, rows, columns], [out, in], or the vector.
    """
    if tensor.ndim == 4:
        axes = (2, 3, 0, 1) if tensor.shape[3] == 1 else (3, 2, 0, 1)
        tensor = tensor.permute(axes)
    elif tensor.ndim == 2:
        tensor = tensor.T
    # `contiguous` would keep odd strides along axes of length 1, for which torch picks other
    # kernels: the same weights would give other scores, in the last bits, from another file.
    return tensor.clone(memory_format=torch.contiguous_format)
