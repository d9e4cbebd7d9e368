"""TensorFlow: the constants of a frozen graph (GraphDef, .pb), read without TensorFlow.

A frozen graph holds its weights as nodes of the kind Const. Protocol Buffers' wire format is simple
enough to walk through: https://protobuf.dev/programming-guides/encoding/. The numbers of the fields
are those of TensorFlow's graph.proto, node_def.proto, attr_value.proto and tensor.proto.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from math import prod

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.errors import WeightsError

NAME = "tensorflow"

_GRAPH_NODE = 1
_NODE_NAME, _NODE_OPERATION, _NODE_ATTRIBUTE = 1, 2, 5
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_ATTRIBUTE_TENSOR = 8
_TENSOR_DTYPE, _TENSOR_SHAPE, _TENSOR_CONTENT = 1, 2, 4
_SHAPE_DIMENSION, _DIMENSION_SIZE = 2, 1

# For each floating dtype that weights have: numpy's name of it, and the field that lists single
# values where the content is not given as a whole.
_DTYPES = {1: ("<f4", 5), 2: ("<f8", 6)}

_INTEGER, _EIGHT_BYTES, _DELIMITED, _FOUR_BYTES = 0, 1, 2, 5


def matches(content: bytes) -> bool:
    """Whether the content begins with a node that has a name and an operation."""
    if content[:1] != b"\x0a":
        return False
    try:
        size, start = _integer(content, 1)
        node = _Message(content[start : start + size])
        name = node.content(_NODE_NAME).decode("ascii")
        operation = node.content(_NODE_OPERATION).decode("ascii")
    except (WeightsError, UnicodeDecodeError):
        return False
    return name.isprintable() and operation.isidentifier()


def read(content: bytes) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    """The floating constants by the name of their node, in TensorFlow's layouts (HWIO kernels).

    Raises:
        WeightsError: the content is cut off or damaged.
    """
    tensors = {}
    for node in _Message(content).messages(_GRAPH_NODE):
        if node.content(_NODE_OPERATION) != b"Const":
            continue
        for entry in node.messages(_NODE_ATTRIBUTE):
            if entry.content(_ENTRY_KEY) != b"value":
                continue
            for attribute in entry.messages(_ENTRY_VALUE):
                for constant in attribute.messages(_ATTRIBUTE_TENSOR):
                    # Others than floating ones are no weights: the shape of a Reshape node.
                    if constant.integer(_TENSOR_DTYPE) in _DTYPES:
                        tensors[node.content(_NODE_NAME).decode()] = _tensor(constant)
    return tensors, {}


def _tensor(constant: _Message) -> Tensor:
    dtype, listed = _DTYPES[constant.integer(_TENSOR_DTYPE)]
    shape = [
        dimension.integer(_DIMENSION_SIZE)
        for dimensions in constant.messages(_TENSOR_SHAPE)
        for dimension in dimensions.messages(_SHAPE_DIMENSION)
    ]
    content = constant.content(_TENSOR_CONTENT) or b"".join(constant.contents[listed])
    values = torch.from_numpy(np.frombuffer(content, dtype).copy())
    if len(values) == 1:  # one listed value stands for a tensor that is filled with it
        return values.reshape([1] * len(shape)).expand(shape)
    if len(values) != prod(shape):
        raise _damaged(f"a constant of {len(values)} values for the shape {shape}")
    return values.reshape(shape)


class _Message:
    """The fields of a message by their numbers; a field may occur several times.

    Attributes:
        integers: values of the fields with integers.
        contents: bytes of the others: text, numbers, messages inside.
    """

    def __init__(self, message: bytes) -> None:
        self.integers: dict[int, list[int]] = defaultdict(list)
        self.contents: dict[int, list[bytes]] = defaultdict(list)
        at = 0
        while at < len(message):
            tag, at = _integer(message, at)
            number, kind = tag >> 3, tag & 7
            if kind == _INTEGER:
                value, at = _integer(message, at)
                self.integers[number].append(value)
                continue
            if kind == _DELIMITED:
                size, at = _integer(message, at)
            elif kind in (_FOUR_BYTES, _EIGHT_BYTES):
                size = 4 if kind == _FOUR_BYTES else 8
            else:
                raise _damaged(f"a field of the unknown wire type {kind}")
            if at + size > len(message):
                raise _damaged(f"a field of {size} bytes where {len(message) - at} are left")
            self.contents[number].append(message[at : at + size])
            at += size

    def integer(self, number: int) -> int:
        """The value of a field; 0 where it is absent."""
        return self.integers[number][-1] if number in self.integers else 0

    def content(self, number: int) -> bytes:
        """The bytes of a field; none where it is absent."""
        return self.contents[number][-1] if number in self.contents else b""

    def messages(self, number: int) -> list[_Message]:
        """The messages of a field."""
        return [_Message(content) for content in self.contents[number]]


def _integer(message: bytes, at: int) -> tuple[int, int]:
    """An integer in groups of 7 bits, lowest first, and where it ends."""
    value = 0
    for position, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return value, at + position + 1
    raise _damaged("an integer that does not end")


def _damaged(found: str) -> WeightsError:
    return WeightsError(
        f"weights: expected a whole frozen graph of TensorFlow, got {found};"
        " download or export it again"
    )
