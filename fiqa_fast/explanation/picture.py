"""Draws a face beside its map, as heat over the same face."""

from __future__ import annotations

import cv2
import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.images.pixels import check_pixels
from fiqa_fast.types import Float64Array, UInt8Array

HEIGHT_PX = 224
SCALE_PERCENTILES = (1, 99)
"""Percentiles of a map that get the first and the last colour: a few extreme pixels decide less."""

_COLOURS = cv2.COLORMAP_INFERNO
_WEIGHT_LOW, _WEIGHT_HIGH = 0.35, 0.8  # of the colour over the grey face, which stays visible


def draw(seen: UInt8Array, heat: Float64Array) -> UInt8Array:
    """Draws a face and, to the right of it, a map over the same face in grey.

    Args:
        seen: what the network saw, uint8 RGB [H, W, 3].
        heat: a map of it, float64 [h, w], finite; it is interpolated for display only.

    Returns:
        uint8 RGB [HEIGHT_PX, 2 w', 3], w' in the proportion of `seen`. Dark purple stands for the
        low end of `colour_scale`, light yellow for its high end.

    Raises:
        InvalidArgumentError: another shape or dtype, or a map with NaN or infinity.
    """
    check_pixels("explain", seen)
    if heat.ndim != 2 or 0 in heat.shape or not np.isfinite(heat).all():
        raise InvalidArgumentError(
            f"explain: expected a finite map of shape [h, w], got one of {list(heat.shape)}"
            f"{'' if np.isfinite(heat).all() else ' with NaN or infinity'}; pass one face's map"
        )
    size = (round(HEIGHT_PX * seen.shape[1] / seen.shape[0]), HEIGHT_PX)
    face = cv2.resize(seen, size, interpolation=cv2.INTER_CUBIC)
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[:, :, None]

    low, high = colour_scale(heat)
    # A map of one value has no high end: all of it is low.
    fraction = np.clip((heat - low) / (high - low), 0, 1) if high > low else np.zeros_like(heat)
    fraction = np.clip(cv2.resize(fraction, size, interpolation=cv2.INTER_CUBIC), 0, 1)
    colour_bgr = cv2.applyColorMap((255 * fraction).round().astype(np.uint8), _COLOURS)
    weight = (_WEIGHT_LOW + (_WEIGHT_HIGH - _WEIGHT_LOW) * fraction)[:, :, None]
    overlay = (1 - weight) * grey + weight * colour_bgr[:, :, ::-1]
    return np.hstack([face, overlay.round().astype(np.uint8)])


def colour_scale(heat: Float64Array) -> tuple[float, float]:
    """The values of a map [h, w] that get the first and the last colour."""
    low, high = np.percentile(heat, SCALE_PERCENTILES)
    return float(low), float(high)
