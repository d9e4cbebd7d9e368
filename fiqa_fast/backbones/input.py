"""What a network wants to see: size, colour order and range of its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Similarity:
    """Where a network that was trained on another alignment wants the crop's pixels.

    The pixel in column u and row v of the crop goes to column scale * u + x_px and row
    scale * v + y_px; what the crop does not show is black.
    """

    scale: float
    x_px: float
    y_px: float


Fit = Literal["none", "resize", "centre"] | Similarity
ChannelOrder = Literal["RGB", "BGR"]


@dataclass(frozen=True)
class InputSpec:
    """How aligned crops (uint8 RGB, 112x112) become the input of a network.

    Attributes:
        height_px: of the network's input.
        width_px: of the network's input.
        fit: "none" (crops have that size), "resize" (bilinear, no antialiasing, as cv2.resize),
            "centre" (the middle of the crop is cut out), or a `Similarity` (bilinear).
        channel_order: "RGB" or "BGR".
        pixel_mean: the input is (pixel 0..255 - pixel_mean) / pixel_scale; one number, or one for
            each channel, in the network's order.
        pixel_scale: see `pixel_mean`.
    """

    height_px: int = 112
    width_px: int = 112
    fit: Fit = "none"
    channel_order: ChannelOrder = "RGB"
    pixel_mean: float | tuple[float, float, float] = 127.5
    pixel_scale: float = 127.5

    def fitted(self, crops: Tensor) -> Tensor:
        """Brings crops into the network's size.

        Args:
            crops: uint8 [N, 3, 112, 112], RGB.

        Returns:
            uint8 [N, 3, height_px, width_px], RGB, on the same device; contiguous.
        """
        if self.fit == "none":
            return crops
        if self.fit == "centre":
            top = (crops.shape[2] - self.height_px) // 2
            left = (crops.shape[3] - self.width_px) // 2
            rows, columns = slice(top, top + self.height_px), slice(left, left + self.width_px)
            return crops[:, :, rows, columns].contiguous()
        size = (self.width_px, self.height_px)
        images = crops.permute(0, 2, 3, 1).cpu().contiguous().numpy()
        if self.fit == "resize":
            fitted = [cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) for image in images]
        else:
            to_input = np.array(
                [[self.fit.scale, 0, self.fit.x_px], [0, self.fit.scale, self.fit.y_px]]
            )
            fitted = [cv2.warpAffine(image, to_input, size) for image in images]
        stacked = np.stack(fitted) if fitted else np.empty((0, *reversed(size), 3), np.uint8)
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous().to(crops.device)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Floating RGB pixels on the scale 0..255, [N, 3, H, W] -> the network's input."""
        ordered = pixels.flip(1) if self.channel_order == "BGR" else pixels
        if isinstance(self.pixel_mean, tuple):
            return (ordered - ordered.new_tensor(self.pixel_mean)[:, None, None]) / self.pixel_scale
        return (ordered - self.pixel_mean) / self.pixel_scale

    def normalised_difference(self, difference: Tensor) -> Tensor:
        """What a difference of RGB pixels on the scale 0..255 is in the network's input.

        [N, 3, H, W] -> the same shape. Also turns gradients at the network's input into the order
        of the pixels.
        """
        ordered = difference.flip(1) if self.channel_order == "BGR" else difference
        return ordered / self.pixel_scale

    def __str__(self) -> str:
        size = f"{self.height_px}x{self.width_px}"
        kind = "aligned otherwise" if isinstance(self.fit, Similarity) else self.fit
        fit = "" if kind == "none" else f" ({kind})"
        pixel = "pixel"
        if isinstance(self.pixel_mean, tuple):
            pixel = f"(pixel - [{', '.join(f'{mean:g}' for mean in self.pixel_mean)}])"
        elif self.pixel_mean:
            pixel = f"(pixel - {self.pixel_mean:g})"
        scale = "" if self.pixel_scale == 1 else f" / {self.pixel_scale:g}"
        return f"{size}{fit} {self.channel_order}, {pixel}{scale}"
