"""ONNX: the initialisers of a graph by name, with quantised weights turned back into floats.

Names are all that a weights file of most formats has. An ONNX file also shows what is computed with
each tensor, and exporters do not keep every name: the nodes are read too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper
import torch
from torch import Tensor

from fiqa_fast.errors import WeightsError

NAME = "onnx"

# Keys of ModelProto's fields in protobuf: the first one, and those that may follow.
_IR_VERSION, _OTHERS = 0x08, b"\x12\x1a\x22\x28\x32\x3a\x42\x72"


@dataclass(frozen=True)
class Node:
    """One operation of a graph.

    Attributes:
        op: its type, such as "Conv".
        name: for messages; exporters may leave it empty.
        inputs: names of what it reads, in the operator's order; "" where an optional one is absent.
        outputs: names of what it makes.
        attributes: the operator's settings: numbers, lists of numbers, text (as bytes).
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """What an ONNX model computes.

    Attributes:
        inputs: names of what its user gives, without those that have a value in the file.
        outputs: names of what it returns.
        nodes: the operations on the inputs, each behind those whose outputs it reads.
        constants: the tensors that these read, by name: initialisers, constants, and what follows
            from them alone by DequantizeLinear, Reshape, Unsqueeze, Transpose or
            Identity.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]


# Whose outputs stand in place of weights.
_WEIGHT_OPS = ("DequantizeLinear", "Reshape")


def matches(content: bytes) -> bool:
    """Whether the content begins as an ONNX model does: its version, then another of its fields."""
    return (
        len(content) > 2
        and content[0] == _IR_VERSION
        and content[1] < 0x80
        and content[2] in _OTHERS
    )


_MOST_EXPANSION = 64  # blocks may be longer than the axis that they divide


def read(content: bytes) -> tuple[Mapping[str, Tensor], Mapping[str, str], Graph]:
    """Tensors, no metadata, and the graph.

    The tensors are the floating initialisers, and weights behind DequantizeLinear and Reshape under
    the name of the output.

    Raises:
        WeightsError: the model is not whole, or its weights lie in other files.
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    # Protobuf notices most cuts; in front of a field it takes what follows as left out.
    if not graph.node or not model.opset_import:
        raise WeightsError(
            "weights: expected an ONNX model with a graph and its operator sets, got one without;"
            " download or export it again"
        )
    held = [a.t for n in graph.node for a in n.attribute if a.HasField("t")]
    for tensor in (*graph.initializer, *held):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise WeightsError(
                f"weights: expected an ONNX model in one file, got {tensor.name} in another one;"
                " save it with its weights inside: onnx.save(onnx.load(path), new_path)"
            )
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    weights, nodes = set(arrays), []
    for node in graph.node:
        inputs = [arrays.get(name) for name in node.input if name]
        value = None if any(i is None for i in inputs) else _value(node.op_type, inputs, node)
        if value is None:
            nodes.append(node)
            continue
        arrays[node.output[0]] = value
        if node.op_type in _WEIGHT_OPS:
            weights.add(node.output[0])
    constants = {name: _tensor(a) for name, a in arrays.items() if _torch_has(a)}
    tensors = {n: constants[n] for n in arrays if n in weights and _is_floating(arrays[n])}
    return tensors, {}, _graph(graph, nodes, constants)


def _graph(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], constants: Mapping[str, Tensor]
) -> Graph:
    # Old exporters list the initialisers among the inputs.
    values = {tensor.name for tensor in graph.initializer}
    return Graph(
        tuple(i.name for i in graph.input if i.name not in values),
        tuple(o.name for o in graph.output),
        tuple(
            Node(n.op_type, n.name, tuple(n.input), tuple(n.output), _attributes(n)) for n in nodes
        ),
        constants,
    )


def _is_floating(array: npt.NDArray[Any]) -> bool:
    # numpy does not count the bfloat16 of its extension among its own floating types.
    return bool(np.issubdtype(array.dtype, np.floating)) or array.dtype.name == "bfloat16"


def _torch_has(array: npt.NDArray[Any]) -> bool:
    """Whether torch has the kind of number: not text, and not the 4 bits of quantised weights."""
    return _is_floating(array) or array.dtype.name in ("int64", "int32", "bool")


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))  # initialisers are read-only views of the file


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _value(op: str, inputs: list[Any], node: onnx.NodeProto) -> npt.NDArray[Any] | None:
    """What an operation makes of constants; None for other operations than files need."""
    attributes = _attributes(node)
    if op == "DequantizeLinear":
        return _dequantised(inputs, attributes)
    if op == "Reshape":
        return _reshaped(inputs, attributes)
    if op == "Unsqueeze":
        axes = attributes["axes"] if len(inputs) < 2 else inputs[1].tolist()
        return np.expand_dims(inputs[0], tuple(axes))
    if op == "Transpose":
        return np.transpose(inputs[0], attributes.get("perm"))
    if op == "Identity":
        return np.asarray(inputs[0])
    if op == "Constant" and "value" in attributes:
        return np.asarray(onnx.numpy_helper.to_array(attributes["value"]))
    return None


def _reshaped(inputs: list[Any], attributes: Mapping[str, Any]) -> npt.NDArray[Any]:
    """The data in the shape given; a 0 there keeps the data's own size, unless `allowzero`."""
    data, shape = inputs[0], inputs[1].tolist()
    if not attributes.get("allowzero", 0):
        shape = [data.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    return np.asarray(data.reshape(shape))


def _dequantised(inputs: list[Any], attributes: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """float32 (q - zero_point) * scale; a scale for the tensor, or each index or block of axis."""
    q, scales = inputs[0].astype(np.float32), inputs[1].astype(np.float32)
    zero_points = np.zeros_like(scales) if len(inputs) < 3 else inputs[2].astype(np.float32)
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    if scales.size * block > _MOST_EXPANSION * q.size:
        raise WeightsError(
            f"weights: expected blocks that fit {q.size} quantised weights, got {scales.size} of"
            f" {block} each; export the model again"
        )

    def spread(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if block:
            return np.repeat(values, block, axis).take(range(q.shape[axis]), axis)
        if values.ndim == 1 and values.size > 1:
            return values.reshape([-1 if a == axis % q.ndim else 1 for a in range(q.ndim)])
        return values

    return np.asarray((q - spread(zero_points)) * spread(scales), dtype=np.float32)
