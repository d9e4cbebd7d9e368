"""ONNX: the initialisers of a graph by name, with quantised weights turned back into floats."""

from __future__ import annotations

from collections.abc import Mapping
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


def matches(content: bytes) -> bool:
    """Whether the content begins as an ONNX model does: its version, then another of its fields."""
    return (
        len(content) > 2
        and content[0] == _IR_VERSION
        and content[1] < 0x80
        and content[2] in _OTHERS
    )


def read(content: bytes) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    """Floating initialisers; weights behind DequantizeLinear and Reshape under the output's name.

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
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise WeightsError(
                f"weights: expected an ONNX model in one file, got {tensor.name} in another one;"
                " save it with its weights inside: onnx.save(onnx.load(path), new_path)"
            )
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        inputs = [arrays.get(name) for name in node.input if name]
        if any(array is None for array in inputs):
            continue
        if node.op_type == "DequantizeLinear":
            arrays[node.output[0]] = _dequantised(inputs, _attributes(node))
        elif node.op_type == "Reshape":
            arrays[node.output[0]] = _reshaped(inputs, _attributes(node))
    return {name: _tensor(a) for name, a in arrays.items() if _is_floating(a)}, {}


def _is_floating(array: npt.NDArray[Any]) -> bool:
    # numpy does not count the bfloat16 of its extension among its own floating types.
    return bool(np.issubdtype(array.dtype, np.floating)) or array.dtype.name == "bfloat16"


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))  # initialisers are read-only views of the file


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


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

    def spread(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if block:
            return np.repeat(values, block, axis).take(range(q.shape[axis]), axis)
        if values.ndim == 1 and values.size > 1:
            return values.reshape([-1 if a == axis % q.ndim else 1 for a in range(q.ndim)])
        return values

    return np.asarray((q - spread(zero_points)) * spread(scales), dtype=np.float32)
