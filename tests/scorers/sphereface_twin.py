"""PFE on SphereFace, written by hand in TensorFlow's names and layouts.

Nothing of the package stands behind it: kernels are [rows, columns, in, out], features are
flattened with the channels last, and what the padding "SAME" means is computed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_CHANNELS = (64, 128, 256, 512)
_EPS = 0.001


def graph_tensors(blocks: tuple[int, ...], embedding_size: int, seed: int) -> dict[str, Tensor]:
    """Random constants of the authors' frozen graph, float32, for residual units in each stage."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def kernel(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))

    c_in = 3
    for stage, (count, c_out) in enumerate(zip(blocks, _CHANNELS, strict=True), 1):
        for i in range(1 + 2 * count):
            conv = f"SphereNet/conv{stage}/Conv" + (f"_{i}" if i else "")
            tensors[f"{conv}/weights"] = kernel(3, 3, c_out if i else c_in, c_out)
            tensors[f"{conv}/p_re_lu/alpha"] = rng.uniform(0, 0.5, (1, 1, c_out))
        tensors[f"SphereNet/conv{stage}/Conv/biases"] = 0.1 * rng.standard_normal(c_out)
        c_in = c_out
    features, d = 7 * 6 * 512, embedding_size
    layers = {"SphereNet/Bottleneck": features, "UncertaintyModule/fc1": features}
    layers["UncertaintyModule/fc_log_sigma_sq"] = d
    for layer, size in layers.items():
        tensors[f"{layer}/weights"] = kernel(size, d)
        tensors[f"{layer}/BatchNorm/moving_mean"] = 0.1 * rng.standard_normal(d)
        tensors[f"{layer}/BatchNorm/moving_variance"] = rng.uniform(0.6, 1.4, d)
    tensors["SphereNet/Bottleneck/BatchNorm/beta"] = 0.1 * rng.standard_normal(d)
    tensors["UncertaintyModule/fc1/BatchNorm/beta"] = 0.1 * rng.standard_normal(d)
    tensors["UncertaintyModule/fc1/BatchNorm/gamma"] = rng.uniform(0.5, 1, d)
    tensors["UncertaintyModule/scale_and_shift/alpha"] = np.array(0.3)
    tensors["UncertaintyModule/scale_and_shift/gamma"] = np.array(-7.0)
    return {name: torch.from_numpy(np.asarray(t, np.float32)) for name, t in tensors.items()}


def run(tensors: Mapping[str, Tensor], crops: np.ndarray) -> tuple[Tensor, Tensor]:
    """Embedding before its normalisation and sigma^2, float64, of uint8 RGB [N, 112, 112, 3]."""
    state = {name: t.double() for name, t in tensors.items()}

    def conv(x: Tensor, name: str, stride: int) -> Tensor:
        pads = []
        for size in (x.shape[3], x.shape[2]):  # the last dimension comes first
            total = max((-(-size // stride) - 1) * stride + 3 - size, 0)
            pads += [total // 2, total - total // 2]
        y = F.conv2d(F.pad(x, pads), state[f"{name}/weights"].permute(3, 2, 0, 1), stride=stride)
        y = y + state.get(f"{name}/biases", torch.zeros(1)).reshape(1, -1, 1, 1)
        slope = state[f"{name}/p_re_lu/alpha"].reshape(1, -1, 1, 1)
        return y.clamp(min=0) + slope * y.clamp(max=0)

    def batch_norm(x: Tensor, layer: str) -> Tensor:
        mean, var = (state[f"{layer}/BatchNorm/moving_{part}"] for part in ("mean", "variance"))
        gamma = state.get(f"{layer}/BatchNorm/gamma", torch.ones(1))
        beta = state.get(f"{layer}/BatchNorm/beta", torch.zeros(1))
        return (x - mean) / torch.sqrt(var + _EPS) * gamma + beta

    def dense(x: Tensor, layer: str) -> Tensor:
        return batch_norm(x @ state[f"{layer}/weights"], layer)

    x = torch.from_numpy((crops[:, :, 8:104].astype(np.float64) - 127.5) / 128)
    x = x.permute(0, 3, 1, 2)
    for stage in range(1, 5):
        x = conv(x, f"SphereNet/conv{stage}/Conv", 2)
        i = 1
        while f"SphereNet/conv{stage}/Conv_{i}/weights" in state:
            y = conv(x, f"SphereNet/conv{stage}/Conv_{i}", 1)
            x = x + conv(y, f"SphereNet/conv{stage}/Conv_{i + 1}", 1)
            i += 2
    features = x.permute(0, 2, 3, 1).reshape(len(x), -1)
    hidden = dense(features, "UncertaintyModule/fc1").clamp(min=0)
    log_variance = dense(hidden, "UncertaintyModule/fc_log_sigma_sq")
    alpha = state["UncertaintyModule/scale_and_shift/alpha"]
    beta = state["UncertaintyModule/scale_and_shift/gamma"]
    return dense(features, "SphereNet/Bottleneck"), 1e-6 + torch.exp(alpha * log_variance + beta)


def frozen_graph(tensors: Mapping[str, Tensor]) -> bytes:
    """The tensors as a TensorFlow GraphDef of Const nodes, with a node in front that is none."""
    return _node("images", "Placeholder", b"") + b"".join(
        _node(name, "Const", _constant(tensor.numpy())) for name, tensor in tensors.items()
    )


def _node(name: str, op: str, value: bytes) -> bytes:
    attribute = _bytes(1, b"value") + _bytes(2, _bytes(8, value)) if value else b""
    body = _bytes(1, name.encode()) + _bytes(2, op.encode())
    return _bytes(1, body + (_bytes(5, attribute) if attribute else b""))


def _constant(array: np.ndarray) -> bytes:
    """A TensorProto: DT_FLOAT is 1, then the dimensions, then the content."""
    dimensions = b"".join(_bytes(2, b"\x08" + _varint(size)) for size in array.shape)
    return b"\x08\x01" + _bytes(2, dimensions) + _bytes(4, array.astype("<f4").tobytes())


def _bytes(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    low, value = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(value) if value else bytes([low])
