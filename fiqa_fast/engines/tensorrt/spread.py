"""bfloat16 transposed convolutions as plain ones, for TensorRT-RTX, which has them in no bfloat16.

A transposed convolution with stride s is a plain one over pixels that are spread: s - 1 zeros lie
behind each of them. Its kernel is turned round. The sums are the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def spread_pixels(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrites the bfloat16 transposed convolutions of a graph.

    Args:
        model: the graph; left as it is.

    Returns:
        The graph. What needs more than stride, padding and groups stays: the library then says what
        it cannot do.
    """
    weights = {t.name: t for t in model.graph.initializer}
    found = [
        node
        for node in model.graph.node
        if node.op_type == "ConvTranspose"
        and node.input[1] in weights
        and weights[node.input[1]].data_type == TensorProto.BFLOAT16
    ]
    if not found:
        return model
    sizes = _sizes(model)
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:]
    for node in model.graph.node:
        size = sizes.get(node.input[0]) if node in found else None
        new = None if size is None else _Spread(node, weights[node.input[1]], size)
        if new is None or new.cut:
            changed.graph.node.append(node)
        else:
            changed.graph.node.extend(new.nodes())
            changed.graph.initializer.extend(new.added)
    read = {name for node in changed.graph.node for name in node.input}
    kept = [t for t in changed.graph.initializer if t.name in read]
    del changed.graph.initializer[:]
    changed.graph.initializer.extend(kept)
    return changed


def _sizes(model: onnx.ModelProto) -> dict[str, tuple[int, int]]:
    """Height and width of every tensor that is known to have them."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    dims = {v.name: v.type.tensor_type.shape.dim for v in (*graph.input, *graph.value_info)}
    return {
        name: (shape[2].dim_value, shape[3].dim_value)
        for name, shape in dims.items()
        if len(shape) == 4 and shape[2].dim_value and shape[3].dim_value
    }


class _Spread:
    """One transposed convolution, rewritten.

    Attributes:
        cut: whether rows would have to be cut off behind the last pixel, or it is dilated.
        added: weights.
    """

    def __init__(
        self, node: onnx.NodeProto, weight: onnx.TensorProto, size: tuple[int, int]
    ) -> None:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self._node, self._size = node, size
        self._strides = list(given.get("strides", [1, 1]))
        self._groups = int(given.get("group", 1))
        turned = numpy_helper.to_array(weight).astype(np.float32)[:, :, ::-1, ::-1]
        inputs, outputs, *kernel = (
            turned.shape
        )  # [in, out / groups, h, w] -> [out, in / groups, ...]
        self._channels = inputs
        grouped = turned.reshape(self._groups, inputs // self._groups, outputs, *kernel)
        self._weights = grouped.swapaxes(1, 2).reshape(-1, inputs // self._groups, *kernel)
        before = list(given.get("pads", [0] * 4))
        more = list(given.get("output_padding", [0, 0]))
        self._pads = [kernel[a] - 1 - before[a] for a in range(2)] + [
            kernel[a] - 1 - before[2 + a] + more[a] - (self._strides[a] - 1) for a in range(2)
        ]
        plain = {"strides", "group", "pads", "output_padding", "dilations", "kernel_shape"}
        self.cut = (
            min(self._pads) < 0
            or list(given.get("dilations", [1, 1])) != [1, 1]
            or not given.keys() <= plain | {"auto_pad"}
            or given.get("auto_pad", b"NOTSET") != b"NOTSET"
        )
        self.added: list[onnx.TensorProto] = []

    def nodes(self) -> Iterator[onnx.NodeProto]:
        """The operators that stand for it."""
        x, name = self._node.input[0], self._node.output[0]
        if self._strides != [1, 1]:
            (height, width), (down, right) = self._size, self._strides
            behind = [0] * 6 + [0, 0, 0, down - 1, 0, right - 1]
            shape = [0, self._channels, height * down, width * right]  # 0: as it was
            apart, padded, spread = (f"{name}/{p}" for p in ("apart", "padded", "spread"))
            yield helper.make_node("Unsqueeze", [x, self._numbers("axes", [3, 5])], [apart])
            yield helper.make_node("Pad", [apart, self._numbers("zeros", behind)], [padded])
            yield helper.make_node("Reshape", [padded, self._numbers("shape", shape)], [spread])
            x = spread
        flat = self._weights.flatten()
        kernel = helper.make_tensor(
            f"{name}/kernel", TensorProto.BFLOAT16, self._weights.shape, flat
        )
        self.added.append(kernel)
        yield helper.make_node(
            "Conv",
            [x, kernel.name, *self._node.input[2:]],
            list(self._node.output),
            name=self._node.name,
            pads=self._pads,
            group=self._groups,
        )

    def _numbers(self, part: str, values: list[int]) -> str:
        tensor = numpy_helper.from_array(
            np.array(values, np.int64), f"{self._node.output[0]}/{part}"
        )
        self.added.append(tensor)
        return str(tensor.name)
