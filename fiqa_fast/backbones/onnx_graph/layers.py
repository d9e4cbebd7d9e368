"""Layers of a network, found by following the edges of an ONNX graph.

Exporters rename tensors, and torch's own puts BatchNorm into the convolution in front of it: what a
tensor is shows in the graph alone. The layers come out under the names of this package.

A BatchNorm that an exporter put into a layer becomes one that only adds that layer's bias. It has
no statistics of its own any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

from fiqa_fast.errors import WeightsError
from fiqa_fast.weights.file import WeightsFile
from fiqa_fast.weights.onnx_file import Graph, Node

# What leaves a head's one number for each face as it is.
_SHAPE_ONLY = ("Gather", "Squeeze", "Flatten", "Reshape")
_SMALL_LENGTH = 1e-6  # guards the division
# What passes its first input on, at inference.
_PASSING = ("Identity", "Dropout")
# How embeddings are divided by their length, by one operator or by torch's.
_LENGTH_NORMALISATION = {"LpNormalization", "ReduceL2", "Clip", "Shape", "Expand", "Div"}
# weight / sqrt(variance + eps) is exactly 1 in float32 and float64, whatever the usual eps.
_IDENTITY_WEIGHT, _IDENTITY_VARIANCE = 2.0**30, 2.0**60


class LayerReader:
    """Follows a graph and collects layers.

    Args:
        file: of ONNX.
        network: what the graph is taken for, for messages.

    Attributes:
        tensors: what was read, under the names of this package.
        epsilons: of the BatchNorm layers that are left in the graph.
        folded: whether any BatchNorm2d layer is not.
    """

    def __init__(self, file: WeightsFile, network: str) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.epsilons: set[float] = set()
        self.folded = False
        self._file, self._network = file, network
        self._graph = _graph_of(file)
        self._passed: dict[str, str] = {}
        self._users: dict[str, list[Node]] = defaultdict(list)
        for node in self._graph.nodes:
            if node.op in _PASSING:
                self._passed[node.outputs[0]] = self.inputs(node)[0]
                continue
            for name in dict.fromkeys(self.inputs(node)):
                self._users[name].append(node)

    @property
    def input(self) -> str:
        """The name of the image."""
        if len(self._graph.inputs) != 1:
            raise self.refused(f"the inputs {', '.join(self._graph.inputs)}", "one image")
        return self._graph.inputs[0]

    def inputs(self, node: Node) -> list[str]:
        """What an operation reads, as the operations call it that made it."""
        return [self._passed.get(name, name) for name in node.inputs]

    def users(self, x: str) -> list[Node]:
        """The operations that compute with an activation; its size alone does not count."""
        return [node for node in self._users[x] if node.op != "Shape"]

    def next(self, x: str, *ops: str) -> Node:
        """The only operation on an activation, which must be one of `ops`."""
        users = self.users(x)
        if len(users) != 1 or users[0].op not in ops:
            raise self.refused(f"{_listed(users)} behind {x}", " or ".join(ops))
        return users[0]

    def fork(self, x: str, branch: str, *skips: str) -> tuple[Node, Node]:
        """The two operations on an activation: the branch's first, and the skip connection's."""
        users = sorted(self.users(x), key=lambda node: node.op != branch)
        if len(users) != 2 or users[0].op != branch or users[1].op not in skips:
            raise self.refused(f"{_listed(users)} behind {x}", f"{branch} and {' or '.join(skips)}")
        return users[0], users[1]

    def constant(self, node: Node, index: int) -> Tensor:
        """A tensor of the file that an operation reads."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        if name not in self._graph.constants:
            raise self.refused(f"{_named(node)} on {name or 'nothing'}", "a tensor of the file")
        return self._graph.constants[name]

    def conv(self, node: Node, conv: str, bn: str, *, stride: int, padding: int) -> str:
        """Reads a convolution and the BatchNorm behind or inside it; returns the output.

        Sizes and groups of kernels show in the tensors' shapes.
        """
        wanted = {"strides": [stride] * 2, "pads": [padding] * 4, "dilations": [1, 1]}
        usual = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1]}
        for setting, value in wanted.items():
            found = list(node.attributes.get(setting, usual[setting]))
            if found != value:
                raise self.refused(f"{setting} {found} in {_named(node)}", str(value))
        if node.attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise self.refused(f"automatic padding in {_named(node)}", f"{padding} pixels")
        self.tensors[f"{conv}.weight"] = self.constant(node, 1)
        y, has_bias = node.outputs[0], any(node.inputs[2:])
        if [user.op for user in self.users(y)] == ["BatchNormalization"]:
            if has_bias:
                raise self.refused(f"a bias in {_named(node)}", "BatchNormalization alone")
            return self.batch_norm(self.users(y)[0], bn)
        if not has_bias:
            raise self.refused(f"{_named(node)} alone", "a bias or BatchNormalization")
        self._add_bias(bn, self.constant(node, 2))
        self.folded = True
        return y

    def batch_norm(self, node: Node, name: str) -> str:
        """Reads a BatchNorm layer; returns the output.

        MXNet's exporter writes `spatial` 0, which would need more numbers than it writes.
        """
        for index, part in enumerate(("weight", "bias", "running_mean", "running_var"), 1):
            self.tensors[f"{name}.{part}"] = self.constant(node, index)
        if node.attributes.get("training_mode", 0):
            raise self.refused(f"{_named(node)} in training mode", "inference")
        self.epsilons.add(node.attributes.get("epsilon", 1e-5))
        return node.outputs[0]

    def prelu(self, x: str, name: str) -> str:
        """Reads the PReLU behind an activation; returns the output."""
        node = self.next(x, "PRelu")
        slope = self.constant(node, 1)
        # A list of slopes can only be meant for channels: MXNet's exporter once wrote it so.
        if slope.ndim != 1 and (slope.ndim < 3 or slope.shape[-3] != slope.numel()):
            raise self.refused(f"slopes {list(slope.shape)} in {_named(node)}", "one per channel")
        self.tensors[f"{name}.weight"] = slope.flatten()
        return node.outputs[0]

    def add(self, x: str, skip: str) -> str:
        """The sum of a branch and a skip connection."""
        node = self.next(x, "Add")
        if set(self.inputs(node)) != {x, skip}:
            raise self.refused(f"{_named(node)} of {' and '.join(node.inputs)}", f"{x} and {skip}")
        return node.outputs[0]

    def linear(self, x: str, linear: str, bn: str, *, bias: bool) -> str:
        """Reads the linear layer on the flattened x, and BatchNorm behind or inside it.

        Args:
            x: the activation.
            linear: the layer's name here.
            bn: that of the BatchNorm layer.
            bias: whether the linear layer has a bias of its own here.

        Returns:
            The output.
        """
        flat = self.next(x, "Flatten", "Reshape")
        if flat.attributes.get("axis", 1) != 1:
            raise self.refused(f"axis {flat.attributes['axis']} in {_named(flat)}", "1")
        y, added = self._product(flat.outputs[0], linear)
        unsqueezed = self._behind(y, "Unsqueeze")  # old exporters normalise in three dimensions
        if [user.op for user in self.users(unsqueezed)] == ["BatchNormalization"]:
            if bias != (added is not None):
                raise self.refused(f"{'no' if bias else 'a'} bias of {y}", f"the layer {linear}")
            y = self._behind(self.batch_norm(self.users(unsqueezed)[0], bn), "Squeeze")
        elif added is None:
            raise self.refused(f"{_listed(self.users(y))} behind {y}", "a bias or BatchNorm")
        else:
            self._add_bias(bn, torch.zeros_like(added) if bias else added)
        if bias and added is not None:
            self.tensors[f"{linear}.bias"] = added
        return y

    def finish(self, embedding: str) -> dict[str, Tensor]:
        """The tensors that were read, and those of a head behind the embedding, as it names them.

        Embeddings may be divided by their length: what comes in front of that is the embedding. A
        head is one linear layer on the embedding, whose result nothing changes.
        """
        head: dict[str, Tensor] = {}
        for node in self._reachable(embedding):
            weights = {n: t for n in node.inputs if (t := self._file.tensors.get(n)) is not None}
            read = self.inputs(node)
            multiplies = node.op in ("Gemm", "MatMul") and read[0] == embedding
            adds = node.op == "Add" and bool(head) and self._made_by(read, "MatMul")
            if weights and (multiplies or adds):
                head |= weights
            elif head and node.op in _SHAPE_ONLY:
                continue
            elif node.op not in _LENGTH_NORMALISATION or not self._is_of_length(node, embedding):
                raise self.refused(
                    f"{_named(node)} behind the embedding {embedding}",
                    "the end, a division by the length, or one linear layer",
                )
        return self.tensors | {name.removeprefix("module."): t for name, t in head.items()}

    def _made_by(self, names: list[str], op: str) -> bool:
        """Whether an operation of that kind made one of the activations."""
        return any(n.op == op and n.outputs[0] in names for n in self._graph.nodes)

    def _is_of_length(self, node: Node, embedding: str) -> bool:
        """Whether a node can belong to x / max(length of x, a small number)."""
        read = self.inputs(node)
        if node.op == "Div":
            return read[0] == embedding and read[1] not in self._graph.constants
        if node.op == "ReduceL2":
            return read[0] == embedding
        if node.op == "Clip":
            upper = read[2] if len(read) > 2 else ""
            lower = self._graph.constants.get(read[1]) if len(read) > 1 else None
            return not upper and (lower is None or lower.item() < _SMALL_LENGTH)
        return True

    def refused(self, found: str, expected: str) -> WeightsError:
        """The error that says what is wrong with the graph."""
        return WeightsError(
            f"weights: expected the graph of {self._network}, got {self._file.path} with {found}"
            f" instead of {expected}; bring a plain export of the network, or its torch weights"
        )

    def _product(self, x: str, name: str) -> tuple[str, Tensor | None]:
        """Reads weight and bias, as one operation or as two; returns the output and the bias."""
        node = self.next(x, "Gemm", "MatMul")
        settings = node.attributes
        if settings.get("transA", 0) or {settings.get(n, 1.0) for n in ("alpha", "beta")} != {1.0}:
            raise self.refused(f"{_named(node)} with factors", "a linear layer")
        weight = self.constant(node, 1)
        self.tensors[f"{name}.weight"] = weight if settings.get("transB", 0) else weight.T
        if any(node.inputs[2:]):
            return node.outputs[0], self.constant(node, 2)
        y = node.outputs[0]
        if [user.op for user in self.users(y)] != ["Add"]:
            return y, None
        add = self.users(y)[0]
        return add.outputs[0], self.constant(add, 1 - self.inputs(add).index(y))

    def _behind(self, x: str, op: str) -> str:
        """The output of that operation where it is the next one; else x."""
        users = self.users(x)
        return users[0].outputs[0] if [user.op for user in users] == [op] else x

    def _add_bias(self, bn: str, bias: Tensor) -> None:
        """Makes a BatchNorm layer that adds a bias and does nothing else."""
        values = {
            "weight": _IDENTITY_WEIGHT,
            "running_mean": 0.0,
            "running_var": _IDENTITY_VARIANCE,
        }
        for part, value in values.items():
            self.tensors[f"{bn}.{part}"] = torch.full(bias.shape, value, device="cpu")
        self.tensors[f"{bn}.bias"] = bias

    def _reachable(self, x: str) -> list[Node]:
        """The operations that depend on an activation, in the graph's order."""
        names, nodes = {x}, []
        for node in self._graph.nodes:
            if not names.isdisjoint(node.inputs):
                names.update(node.outputs)
                if node.op not in _PASSING:
                    nodes.append(node)
        return nodes


def users_of_first_prelu(file: WeightsFile) -> list[Node]:
    """The operations on the output of a graph's first PReLU; none without one."""
    nodes = _graph_of(file).nodes
    first = next((node for node in nodes if node.op == "PRelu"), None)
    return [] if first is None else [n for n in nodes if first.outputs[0] in n.inputs]


def _graph_of(file: WeightsFile) -> Graph:
    if file.graph is None:
        raise WeightsError(f"weights: expected an ONNX file, got {file.path}; bring one")
    return file.graph


def _named(node: Node) -> str:
    return f"{node.op} {node.name or node.outputs[0]}"


def _listed(nodes: Iterable[Node]) -> str:
    return " and ".join(_named(node) for node in nodes) or "nothing"
