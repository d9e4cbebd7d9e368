"""iresnet18 in plain functional calls, and the names of its released tensors, both written by hand.

Nothing of the package stands behind them: the tests of learned methods compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_CHANNELS = {1: (64, 64), 2: (64, 128), 3: (128, 256), 4: (256, 512)}
_BLOCKS = 2


def released_shapes(embedding_size: int = 512) -> dict[str, torch.Size]:
    """Names and shapes of the released tensors, without any prefix."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 3, 3), "prelu.weight": (64,)}
    norms = {"bn1": 64, "bn2": 512, "features": embedding_size}
    for layer, (c_in, c_out) in _CHANNELS.items():
        for i in range(_BLOCKS):
            unit, first = f"layer{layer}.{i}", c_in if i == 0 else c_out
            norms |= {f"{unit}.bn1": first, f"{unit}.bn2": c_out, f"{unit}.bn3": c_out}
            shapes[f"{unit}.conv1.weight"] = (c_out, first, 3, 3)
            shapes[f"{unit}.conv2.weight"] = (c_out, c_out, 3, 3)
            shapes[f"{unit}.prelu.weight"] = (c_out,)
        shapes[f"layer{layer}.0.downsample.0.weight"] = (c_out, c_in, 1, 1)
        norms[f"layer{layer}.0.downsample.1"] = c_out
    for name, channels in norms.items():
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()
    shapes |= {"fc.weight": (embedding_size, 512 * 7 * 7), "fc.bias": (embedding_size,)}
    return {name: torch.Size(shape) for name, shape in shapes.items()}


def embed(tensors: Mapping[str, Tensor], crops: np.ndarray) -> tuple[Tensor, Tensor]:
    """Features and raw embedding in float64 of uint8 RGB crops [N, 112, 112, 3]."""
    state = {name: t.double() for name, t in tensors.items()}

    def bn(x: Tensor, name: str) -> Tensor:
        weight, bias, mean, var = (
            state[f"{name}.{part}"].reshape(1, -1, *[1] * (x.ndim - 2))
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = state[f"{name}.weight"]
        return F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def prelu(x: Tensor, name: str) -> Tensor:
        return torch.where(x > 0, x, x * state[f"{name}.weight"].reshape(1, -1, 1, 1))

    x = torch.from_numpy(crops.astype(np.float64).transpose(0, 3, 1, 2)) / 255
    x = prelu(bn(conv((x - 0.5) / 0.5, "conv1"), "bn1"), "prelu")
    for layer in _CHANNELS:
        for i in range(_BLOCKS):
            unit, stride = f"layer{layer}.{i}", 2 if i == 0 else 1
            y = prelu(
                bn(conv(bn(x, f"{unit}.bn1"), f"{unit}.conv1"), f"{unit}.bn2"), f"{unit}.prelu"
            )
            y = bn(conv(y, f"{unit}.conv2", stride), f"{unit}.bn3")
            if i == 0:
                x = bn(conv(x, f"{unit}.downsample.0", 2), f"{unit}.downsample.1")
            x = x + y
    features = bn(x, "bn2").flatten(1)
    return features, bn(features @ state["fc.weight"].T + state["fc.bias"], "features")
