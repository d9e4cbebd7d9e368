"""oneDNN through torch: convolutions and linear layers whose weights are packed once.

torch packs the weights of a convolution anew in every call, unless it is given packed ones through
the operators that its compiler uses. On a CPU with AMX or AVX-512 these run at the rate of a matrix
product; the other devices and dtypes take torch's ordinary layers.
"""

from __future__ import annotations

import torch
from torch import Tensor


def packs(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN computes in that dtype here."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


class PackedConvolution:
    """A convolution without bias on channels_last memory, its weights packed once.

    Args:
        weight: [C', C / groups, k, k].
        stride: of both axes.
        padding: of both axes.
        groups: of channels.
        input_size: height and width of the images that it will see.
    """

    def __init__(
        self,
        weight: Tensor,
        stride: int,
        padding: int,
        groups: int,
        input_size: tuple[int, int],
    ) -> None:
        self._geometry = (padding, padding), (stride, stride), (1, 1), groups
        self._weight = weight.contiguous()
        self._input_shape = (weight.shape[1] * groups, *input_size)
        self._packed: dict[int, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H', W']."""
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self._packed_for(x), None, *self._geometry, "none", [], ""
        )
        return y

    def onto(self, total: Tensor, x: Tensor) -> None:
        """Adds the convolution to `total`, in place: the sum costs no pass of its own."""
        torch.ops.mkldnn._convolution_pointwise_(
            total, x, self._packed_for(x), None, *self._geometry, "add", 1.0, None, [], None
        )

    def _packed_for(self, x: Tensor) -> Tensor:
        """In float32 some layers want another layout for a single image; a wrong one costs 20 times
        the convolution, since the weights are then sorted anew in every call.
        """
        images = 1 if len(x) == 1 and x.dtype == torch.float32 else 8
        if images not in self._packed:
            self._packed[images] = torch.ops.aten.mkldnn_reorder_conv2d_weight(
                self._weight.to_mkldnn(), *self._geometry, (images, *self._input_shape)
            )
        return self._packed[images]


class PackedTransposedConvolution:
    """A transposed convolution without bias on channels_last memory, its weights packed once.

    Args:
        weight: [C, C' / groups, k, k].
        stride: of both axes.
        padding: of both axes.
        output_padding: of both axes.
        groups: of channels.
        input_size: height and width of the images that it will see.
    """

    def __init__(
        self,
        weight: Tensor,
        stride: int,
        padding: int,
        output_padding: int,
        groups: int,
        input_size: tuple[int, int],
    ) -> None:
        paddings = (padding, padding), (output_padding, output_padding)
        self._geometry = *paddings, (stride, stride), (1, 1), groups
        self._weight: Tensor = torch.ops.mkldnn._reorder_convolution_transpose_weight(
            weight.contiguous(), *self._geometry, (8, weight.shape[0], *input_size)
        )

    def __call__(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H', W']."""
        y: Tensor = torch.ops.mkldnn._convolution_transpose_pointwise(
            x, self._weight, None, *self._geometry, "none", [], ""
        )
        return y

    def onto(self, total: Tensor, x: Tensor) -> None:
        """Adds the transposed convolution to `total`, in place."""
        total.add_(self(x))


def multiplies_int8() -> bool:
    """Whether oneDNN adds up products of 8-bit integers exactly on this CPU.

    Without VNNI it does so in 16 bits, which overflow.
    """
    is_available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return is_available and bool(torch.cpu._is_vnni_supported())


class PackedInt8Convolution:
    """A convolution of integers without bias and groups on channels_last memory.

    Args:
        weight: int8 [C', C, k, k].
        steps: float32 [C'], multiply the sums of products.
        zero: the integer that stands for 0 in the input, and in the padding around it.
        stride: of both axes.
        padding: of both axes.
        input_size: height and width of the images that it will see.
    """

    def __init__(
        self,
        weight: Tensor,
        steps: Tensor,
        zero: int,
        stride: int,
        padding: int,
        input_size: tuple[int, int],
    ) -> None:
        self._steps, self._zero = steps, zero
        self._zeros = torch.zeros(len(steps), dtype=torch.int32)
        self._geometry = (stride, stride), (padding, padding), (1, 1), 1
        self._weight: Tensor = torch.ops.onednn.qconv_prepack(
            weight, steps, 1.0, zero, *self._geometry, (8, weight.shape[1], *input_size)
        )

    def __call__(self, x: Tensor) -> Tensor:
        """uint8 [N, C, H, W] -> bf16 [N, C', H', W']: rounded once, from exact sums.

        With AMX the zero point's share is added in float32: not exact where the weights of a
        channel add up to more than 2**17.
        """
        y: Tensor = torch.ops.onednn.qconv_pointwise(
            x, 1.0, self._zero, self._weight, self._steps, self._zeros, None, *self._geometry,
            1.0, 0, torch.bfloat16, "none", [], "",
        )  # fmt: skip
        return y


def packed_linear(weight: Tensor) -> Tensor:
    """Weights [D, F] in the layout that `multiply` wants."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 8)
    return packed


def multiply(x: Tensor, packed: Tensor) -> Tensor:
    """[N, F] times packed weights -> [N, D]."""
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
    return y
