"""float32 matrix products as convolutions, for GPUs of compute capability 7.5 (Turing).

TensorRT-RTX has no float32 matrix products there ("FP32 GEMM is not supported"), but float32
convolutions. A product with a matrix of weights is a convolution with a kernel of 1x1; one of two
activations becomes a multiplication and a sum.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Shape = tuple[int | None, ...]


def products_as_convolutions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrites the float32 matrix products of a graph.

    Args:
        model: the graph; left as it is.

    Returns:
        The graph without float32 matrix products. Its numbers differ from the given graph's by the
        order of additions alone.
    """
    rewriter = _Rewriter(model)
    nodes = [new for node in model.graph.node for new in rewriter.rewritten(node)]
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    changed.graph.initializer.extend(rewriter.added)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in changed.graph.initializer if tensor.name in used]
    del changed.graph.initializer[:]
    changed.graph.initializer.extend(kept)
    return changed


class _Rewriter:
    """Knows the shapes and the weights of one graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = onnx.shape_inference.infer_shapes(model).graph
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._shapes: dict[str, Shape] = {n: tuple(t.dims) for n, t in self._weights.items()}
        float32 = onnx.TensorProto.FLOAT
        self._floats = {n for n, t in self._weights.items() if t.data_type == float32}
        for value in (*graph.input, *graph.output, *graph.value_info):
            kind = value.type.tensor_type
            if kind.HasField("shape"):
                sizes = (d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
                self._shapes[value.name] = tuple(sizes)
            if kind.elem_type == float32:
                self._floats.add(value.name)
        self.added: list[onnx.TensorProto] = []

    def rewritten(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """The operators that stand for a node; the node itself where it stays."""
        product = node.op_type in ("Gemm", "MatMul")
        if not product or not all(n in self._floats for n in node.input if n):
            yield node
            return
        settings = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        left, right = (self._shapes.get(name) for name in node.input[:2])
        if settings.get("transA") or left is None or right is None:
            yield node  # the library says what it cannot do
        elif node.input[1] in self._weights and len(right) == 2:
            yield from self._convolution(node, left, settings)
        elif node.op_type == "MatMul" and len(left) > 1 and len(right) > 1:
            yield from self._sum_of_products(node)
        else:
            yield node

    def _convolution(
        self, node: onnx.NodeProto, left: Shape, settings: dict[str, float]
    ) -> Iterator[onnx.NodeProto]:
        matrix = numpy_helper.to_array(self._weights[node.input[1]])
        kernel = matrix if settings.get("transB") else matrix.T
        kernel = np.ascontiguousarray(kernel * np.float32(settings.get("alpha", 1)))
        inner = kernel.shape[1]
        parts = [self._weight(node, "kernel", kernel[:, :, None, None])]
        bias = node.input[2] if len(node.input) > 2 else ""
        summand = ""
        if bias:
            offset = self._weights.get(bias)
            if offset is None or int(np.prod(offset.dims)) != len(kernel):
                summand = bias  # differs between the rows
            else:
                values = numpy_helper.to_array(offset).reshape(-1)
                parts.append(
                    self._weight(node, "bias", values * np.float32(settings.get("beta", 1)))
                )
        pixels, convolved, product = (f"{node.output[0]}/{p}" for p in ("pixels", "map", "product"))
        rows = self._weight(node, "to_pixels", np.array([-1, inner, 1, 1], np.int64))
        back = self._weight(
            node,
            "from_pixels",
            np.array([-1 if s is None else s for s in (*left[:-1], len(kernel))], np.int64),
        )
        last = product if summand else node.output[0]
        yield helper.make_node("Reshape", [node.input[0], rows], [pixels])
        yield helper.make_node("Conv", [pixels, *parts], [convolved], name=node.name)
        yield helper.make_node("Reshape", [convolved, back], [last])
        if summand:
            beta = self._weight(node, "beta", np.array(settings.get("beta", 1), np.float32))
            yield helper.make_node("Mul", [summand, beta], [f"{product}/summand"])
            yield helper.make_node("Add", [product, f"{product}/summand"], list(node.output))

    def _sum_of_products(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """a [..., M, K] and b [..., K, N]: sum over K of a [..., M, K, 1] * b [..., 1, K, N]."""
        a, b, products = (f"{node.output[0]}/{part}" for part in ("a", "b", "products"))
        last = self._weight(node, "last", np.array([-1], np.int64))
        third = self._weight(node, "third", np.array([-3], np.int64))
        second = self._weight(node, "second", np.array([-2], np.int64))
        yield helper.make_node("Unsqueeze", [node.input[0], last], [a])
        yield helper.make_node("Unsqueeze", [node.input[1], third], [b])
        yield helper.make_node("Mul", [a, b], [products])
        yield helper.make_node(
            "ReduceSum", [products, second], list(node.output), name=node.name, keepdims=0
        )

    def _weight(self, node: onnx.NodeProto, part: str, values: npt.NDArray[np.generic]) -> str:
        name = f"{node.output[0]}/{part}"
        self.added.append(numpy_helper.from_array(values, name))
        return name
