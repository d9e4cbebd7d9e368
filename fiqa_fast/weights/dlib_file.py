"""dlib's networks (.dat): what dlib's `serialize` writes of a network for face recognition.

Facts of dlib's serialize.h, dnn/core.h, dnn/layers.h and dnn/tensor.h. An integer is a byte with
its size (and 0x80 where it is negative) and its bytes, lowest first; a number is an integer
mantissa and a binary exponent; a text is its length and its bytes; a tensor is its version, four
sizes and its floats. A network is a nest: a layer first writes the one below it. So the versions of
all layers stand in front, and their contents follow in the order in which the data passes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod

import numpy as np
import torch
from torch import Tensor

from fiqa_fast.errors import WeightsError

NAME = "dlib"

_LOSS_VERSION, _TENSOR_VERSION, _VIEW_VERSION = 1, 2, 1
_LOSS, _INPUT = "loss_metric_2", "input_rgb_image_sized"
# The innermost layer, which holds the input, has a version of its own.
_OUTER_VERSIONS, _INNERMOST_VERSION = (1, 2), 3
_MAX_INTEGER_BYTES = 8


def matches(content: bytes) -> bool:
    """Whether the content begins with the version and the name of a loss layer."""
    return content[:3] == b"\x01\x01\x01" and content[4:9] == b"loss_"


def read(content: bytes) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    """The parameters of a metric network, numbered from the input for each kind of layer.

    Names and shapes: "con1.filters" [C', C, rows, columns], "con1.biases" [C'], "affine1.gamma" and
    "affine1.beta" [C], "fc1.weights" [inputs, outputs].

    Raises:
        WeightsError: the content is cut off, or has layers that are unknown here.
    """
    stream = _Stream(content)
    stream.expect("version", _LOSS_VERSION, stream.integer())
    stream.expect("loss layer", _LOSS, stream.text())
    stream.skip_numbers(2)  # margin and threshold
    version = stream.integer()
    while version in _OUTER_VERSIONS:
        version = stream.integer()
    stream.expect("version", _INNERMOST_VERSION, version)
    stream.expect("input layer", _INPUT, stream.text())
    stream.skip_numbers(3)  # mean of each colour
    stream.skip_integers(2)  # rows and columns

    tensors: dict[str, Tensor] = {}
    layers: Counter[str] = Counter()
    while not stream.at_end:
        kind = stream.text()
        layers[kind] += 1
        name = f"{kind.split('_')[0]}{layers[kind]}"
        for part, tensor in _parameters(stream, kind).items():
            tensors[f"{name}.{part}"] = tensor
        stream.skip_working_memory()
        if layers.total() == 1:
            stream.skip_integers(1)  # the innermost layer ends with the images per sample
    return tensors, {}


def _parameters(stream: _Stream, kind: str) -> dict[str, Tensor]:
    """Reads a layer's own content: its parameters by name."""
    if kind == "con_4":
        values = stream.tensor()
        stream.skip_integers(7)  # filters, rows, columns, strides, paddings
        filters, biases = stream.views(values, 2)
        stream.skip_numbers(4)  # multipliers for training
        return {"filters": filters, "biases": biases.flatten()}
    if kind == "affine_":
        gamma, beta = stream.views(stream.tensor(), 2)
        stream.skip_integers(1)  # for each channel, or for each number
        return {"gamma": gamma.flatten(), "beta": beta.flatten()}
    if kind == "fc_2":
        stream.skip_integers(2)  # outputs, inputs
        weights, biases = stream.views(stream.tensor(), 2)
        stream.skip_integers(1)  # whether there are biases
        stream.skip_numbers(4)  # multipliers for training
        if biases.numel():
            return {"weights": weights.flatten(1), "biases": biases.flatten()}
        return {"weights": weights.flatten(1)}
    if kind in ("max_pool_2", "avg_pool_2"):
        stream.skip_integers(6)  # rows, columns, strides, paddings
        return {}
    if kind in ("relu_", "add_prev_"):
        return {}
    raise _unexpected("layers of face recognition (con_4, affine_, ...)", repr(kind))


class _Stream:
    """Reads dlib's serialisation from front to back."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def at_end(self) -> bool:
        """Whether everything has been read."""
        return self._at == len(self._content)

    def expect(self, what: str, expected: object, found: object) -> None:
        """Raises WeightsError unless what was found is what this reader knows."""
        if found != expected:
            raise _unexpected(f"the {what} {expected!r}", repr(found))

    def integer(self) -> int:
        control = self._take(1)[0]
        size = control & 0x7F
        if not 1 <= size <= _MAX_INTEGER_BYTES:
            raise _unexpected("an integer of 1 to 8 bytes", f"one of {size}")
        value = int.from_bytes(self._take(size), "little")
        return -value if control & 0x80 else value

    def text(self) -> str:
        return self._take(self.integer()).decode("ascii", "replace")

    def skip_integers(self, count: int) -> None:
        for _ in range(count):
            self.integer()

    def skip_numbers(self, count: int) -> None:
        self.skip_integers(2 * count)

    def skip_working_memory(self) -> None:
        """What a layer keeps between passes: three flags, two gradients and its output."""
        self._take(3)
        for _ in range(3):
            self.tensor()

    def tensor(self) -> Tensor:
        """float32, of dlib's four sizes."""
        sizes = self._sizes(_TENSOR_VERSION)
        values = np.frombuffer(self._take(4 * prod(sizes)), "<f4")
        return torch.from_numpy(values.reshape(sizes).copy())

    def views(self, values: Tensor, count: int) -> list[Tensor]:
        """The parts of a layer's parameters, one after the other; their sizes are read here."""
        sizes = [self._sizes(_VIEW_VERSION) for _ in range(count)]
        lengths = [prod(size) for size in sizes]
        if values.numel() != sum(lengths):
            raise _unexpected(f"{sum(lengths)} parameters of a layer", str(values.numel()))
        parts = torch.split(values.flatten(), lengths)
        return [part.reshape(size) for part, size in zip(parts, sizes, strict=True)]

    def _sizes(self, version: int) -> list[int]:
        self.expect("version", version, self.integer())
        return [self.integer() for _ in range(4)]

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if not self._at <= end <= len(self._content):
            left = len(self._content) - self._at
            raise _unexpected(f"{size} more bytes", f"{left}, where the file ends")
        taken = self._content[self._at : end]
        self._at = end
        return taken


def _unexpected(expected: str, found: str) -> WeightsError:
    return WeightsError(
        f"weights: expected a whole face recognition network of dlib, with {expected}, got {found};"
        " bring dlib_face_recognition_resnet_model_v1.dat, unpacked and unchanged"
    )
