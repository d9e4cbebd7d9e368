"""What a scorer's graph takes: crops, and a random method's draws."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.engines.runner import Array
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.types import CROP_SIZE_PX, UInt8Array

_EXAMPLE_BATCH = 5
"""Of no other dimension: a trace takes equal numbers for the same."""


def example_inputs(scorer: Scorer) -> dict[str, Tensor]:
    """Inputs of the right names, dtypes and shapes, all zero."""
    crops = torch.zeros(_EXAMPLE_BATCH, CROP_SIZE_PX, CROP_SIZE_PX, 3, dtype=torch.uint8)
    if scorer.noise_spec is None:
        return {"crops": crops}
    shape, dtype = scorer.noise_spec
    noise = torch.zeros(_EXAMPLE_BATCH, *shape, dtype=_of_graphs(dtype))
    return {"crops": crops, "noise": noise}


def inputs_of(scorer: Scorer, crops: UInt8Array, noise: Tensor | None = None) -> dict[str, Array]:
    """The inputs that give crops their scores.

    Args:
        scorer: whose graph it is; it draws the noise.
        crops: uint8 RGB [B, 112, 112, 3].
        noise: explicit draws for a random method, [B, ...]; None: its own.

    Returns:
        By name, in C order.
    """
    inputs: dict[str, Array] = {"crops": np.ascontiguousarray(crops)}
    if scorer.noise_spec is not None:
        if noise is None:
            pixels = torch.from_numpy(inputs["crops"]).permute(0, 3, 1, 2).contiguous()
            noise = scorer.draw_noise(scorer.backbone.spec.input.fitted(pixels))
        noise = noise.cpu().contiguous()
        is_mask = noise.dtype == torch.bool
        inputs["noise"] = (noise.view(torch.uint8) if is_mask else noise.float()).numpy()
    return inputs


def _of_graphs(dtype: torch.dtype) -> torch.dtype:
    """Graphs have no bool, and draws in float32."""
    return torch.uint8 if dtype == torch.bool else torch.float32
