"""uint8 inputs, which TensorRT converts and does nothing else with.

A graph that first moves pixels and then converts them ("Transpose, Cast") becomes one that converts
first; the numbers are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import onnx
from onnx import TensorProto, helper

_MOVES = {"Transpose", "Slice", "Reshape", "Squeeze", "Unsqueeze", "Gather", "Identity"}


def convert_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """Puts a conversion behind every uint8 input that something else reads.

    Args:
        model: the graph; left as it is.

    Returns:
        The graph. Where all that reads the pixels converts them to one type, it is converted to
        that, else to int32. An input whose uint8 numbers are computed with stays as it is.
    """
    readers = _readers(model)
    conversions: list[onnx.NodeProto] = []
    renamed: dict[str, str] = {}
    moved: set[str] = set()
    for value in model.graph.input:
        if value.type.tensor_type.elem_type != TensorProto.UINT8:
            continue
        chain = list(_moves_of(value.name, readers))
        reading = [reader for name in (value.name, *chain) for reader in readers[name]]
        casts = [reader for reader in reading if reader.op_type == "Cast"]
        shapes = [reader for reader in reading if reader.op_type == "Shape"]
        if not chain or len(reading) != len(chain) + len(casts) + len(shapes):
            continue
        types = {helper.get_node_attr_value(cast, "to") for cast in casts}
        common = types.pop() if len(types) == 1 else TensorProto.INT32
        name = f"{value.name}/converted"
        conversions.append(helper.make_node("Cast", [value.name], [name], name=name, to=common))
        renamed[value.name] = name
        moved.update(chain)
    if not conversions:
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for node in changed.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    rest = list(changed.graph.node)
    del changed.graph.node[:]
    changed.graph.node.extend([*conversions, *rest])
    kept = [v for v in changed.graph.value_info if v.name not in moved]
    del changed.graph.value_info[:]
    changed.graph.value_info.extend(kept)
    return changed


def _readers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in dict.fromkeys(node.input):
            readers[name].append(node)
    return readers


def _moves_of(name: str, readers: dict[str, list[onnx.NodeProto]]) -> Iterator[str]:
    """Outputs of all operators that only move the elements of a tensor, also one behind another."""
    for node in readers[name]:
        if node.op_type in _MOVES and node.input[0] == name:
            yield node.output[0]
            yield from _moves_of(node.output[0], readers)
