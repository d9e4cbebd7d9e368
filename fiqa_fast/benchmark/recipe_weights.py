"""Weights from a recipe, for networks whose own weights cannot be had: golden numbers, benchmarks.

Every tensor is drawn by a generator that is seeded with the tensor's name, so that anybody can make
the networks again. tests/golden/README.md has the rules in words.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.backbones import checkpoints
from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.layers.heads import QualityHead

SEED = 7301


def state_dict(shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """The recipe's weights for given names and shapes: float32, counters int64."""
    return {name: _tensor(name, shape, shapes) for name, shape in shapes.items()}


def backbone(name: str, precision: str = "float32", head: QualityHead | None = None) -> Backbone:
    """A network of the package, and a head behind it, with the recipe's weights, on the CPU.

    Raises:
        InvalidArgumentError: no network has that name.
    """
    network = skeleton(name)
    network.head = head
    shapes = {n.removeprefix("head."): t.shape for n, t in network.state_dict().items()}
    tensors = state_dict(shapes)
    state = {n: tensors[n.removeprefix("head.")] for n in network.state_dict()}
    network.load_state_dict(state, assign=True)
    return network.prepare(torch.device("cpu"), precision)


def skeleton(name: str) -> Backbone:
    """A network of the package without numbers, on the device "meta".

    Raises:
        InvalidArgumentError: no network has that name.
    """
    with torch.device("meta"):
        return checkpoints.skeleton(name).eval()


def _tensor(name: str, shape: torch.Size, names: Collection[str]) -> Tensor:
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(f"{SEED}:{name}".encode())))
    layer, last = name.rsplit(".", 1)
    if last == "num_batches_tracked":
        return torch.zeros((), dtype=torch.int64)
    if last in ("running_mean", "bias"):
        values = 0.1 * rng.standard_normal(shape)
    elif last == "running_var":
        values = rng.uniform(0.6, 1.4, shape)
    elif f"{layer}.running_mean" in names:
        ends_branch = name.endswith(("bn3.weight", "res_layer.4.weight"))
        low, high = (0.1, 0.3) if ends_branch else (0.5, 1.0)
        values = rng.uniform(low, high, shape)
    elif len(shape) == 4:
        values = np.sqrt(2 / np.prod(shape[1:])) * rng.standard_normal(shape)
    elif len(shape) == 2:
        values = rng.standard_normal(shape) / np.sqrt(shape[1])
    else:
        values = np.full(shape, 0.25)
    return torch.from_numpy(values.astype(np.float32))
