"""Crops to time with: their content does not decide how long a network takes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.types import CROP_SIZE_PX

_BLUR_PX = 8


def synthetic_crops(count: int) -> Tensor:
    """Smooth random pictures, each another one, the same on every call.

    Returns:
        uint8 [count, 3, 112, 112].
    """
    rng = np.random.Generator(np.random.PCG64(0))
    cells = CROP_SIZE_PX // _BLUR_PX
    coarse = torch.from_numpy(rng.uniform(0, 255, (count, 3, cells, cells)).astype(np.float32))
    size = (CROP_SIZE_PX, CROP_SIZE_PX)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=False)
    return smooth.round().to(torch.uint8)
