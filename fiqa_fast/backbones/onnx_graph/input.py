"""How an ONNX graph normalises pixels in front of its first layer, if it does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.onnx_graph.layers import LayerReader

# Constants such as 1 / 127.5 are rounded to float32.
_RELATIVE_ROUNDING = 1e-6


@dataclass(frozen=True)
class PixelMap:
    """The network's input is (pixel - mean) / scale.

    Attributes:
        mean: of each channel, float64 [3].
        scale: of each channel, float64 [3].
    """

    mean: Tensor
    scale: Tensor

    def has_mean_of(self, spec: InputSpec) -> bool:
        """Whether black, which padding adds, is the same pixel in both."""
        wanted = torch.tensor(spec.pixel_mean, dtype=torch.float64, device="cpu")
        tolerance = _RELATIVE_ROUNDING * 255
        return bool(((self.mean - wanted).abs() <= tolerance).all())

    def weight_for(self, spec: InputSpec, weight: Tensor) -> Tensor:
        """The first convolution's weight, [C, 3, h, w], for an input of that scale instead."""
        ratio = spec.pixel_scale / self.scale
        if bool(((ratio - 1).abs() <= _RELATIVE_ROUNDING).all()):
            return weight
        return (weight.double() * ratio[:, None, None]).float()

    def __str__(self) -> str:
        mean, scale = (", ".join(f"{v:g}" for v in t.tolist()) for t in (self.mean, self.scale))
        return f"(pixel - [{mean}]) / [{scale}]"


def read_pixel_map(reader: LayerReader) -> tuple[str, PixelMap | None]:
    """What the first layer reads, and how it is made of pixels 0..255; None: by the user.

    Raises:
        WeightsError: pixels are prepared by other operations than with constants per channel.
    """
    x = reader.input
    mean = torch.zeros(3, dtype=torch.float64, device="cpu")
    scale = torch.ones(3, dtype=torch.float64, device="cpu")
    while (node := reader.next(x, "Conv", "Sub", "Add", "Mul", "Div")).op != "Conv":
        # Only sums and products may have the constant in front.
        place = 0 if node.op in ("Add", "Mul") and x == reader.inputs(node)[1] else 1
        value = reader.constant(node, place).double()
        if value.numel() != 1 and (value.numel() != 3 or value.shape[-3:] != (3, 1, 1)):
            raise reader.refused(f"{list(value.shape)} numbers for {x}", "one for each channel")
        value = value.flatten()
        if node.op in ("Sub", "Add"):
            mean = mean + (value if node.op == "Sub" else -value) * scale
        else:
            scale = scale * (value if node.op == "Div" else 1 / value)
        x = node.outputs[0]
    return x, None if x == reader.input else PixelMap(mean, scale)
