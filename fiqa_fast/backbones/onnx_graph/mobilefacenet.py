"""MobileFaceNet as ONNX files have it, such as insightface's w600k_mbf: BatchNorm folded or not."""

from __future__ import annotations

from fiqa_fast.backbones.onnx_graph.input import read_pixel_map
from fiqa_fast.backbones.onnx_graph.layers import LayerReader, users_of_first_prelu
from fiqa_fast.backbones.onnx_graph.network import OnnxNetwork
from fiqa_fast.weights.file import WeightsFile
from fiqa_fast.weights.onnx_file import Node

_GROUPS_OF_SECOND = 64
# Bottlenecks that halve the resolution, and the rows of residual ones behind them.
_REST = (("conv_23", "conv_3"), ("conv_34", "conv_4"), ("conv_45", "conv_5"))


def read_mobilefacenet(file: WeightsFile) -> OnnxNetwork | None:
    """The MobileFaceNet of an ONNX file, of any size; None where the file is of something else.

    A MobileFaceNet shows by its second convolution, which has 64 groups, or by the first
    bottleneck of the large size: a convolution and a skip connection, both behind the first PReLU.

    Raises:
        WeightsError: the graph begins as a MobileFaceNet and goes on as another network.
    """
    users = users_of_first_prelu(file)
    if not _begins_as_one(users):
        return None
    reader = LayerReader(file, "a MobileFaceNet")
    x, pixels = read_pixel_map(reader)
    x = _conv_unit(reader, x, "conv1", stride=2, padding=1)
    if len(users) == 1:
        x = _conv_unit(reader, x, "conv2_dw", padding=1)
    else:
        x = _row(reader, x, "conv_2")
    for halving, row in _REST:
        x = _bottleneck(reader, reader.next(x, "Conv"), halving, stride=2)
        x = _row(reader, x, row)
    x = _conv_unit(reader, x, "conv_6_sep")
    x = reader.conv(reader.next(x, "Conv"), "conv_6_dw.conv", "conv_6_dw.bn", stride=1, padding=0)
    embedding = reader.linear(x, "linear", "bn", bias=False)
    return OnnxNetwork(
        file.path,
        reader.finish(embedding),
        "conv1.conv.weight",
        frozenset(reader.epsilons),
        reader.folded,
        pixels,
    )


def _begins_as_one(users: list[Node]) -> bool:
    ops = sorted(user.op for user in users)
    settings = next((user.attributes for user in users if user.op == "Conv"), {})
    if ops == ["Conv"]:
        return bool(settings.get("group") == _GROUPS_OF_SECOND)
    return ops == ["Add", "Conv"] and settings.get("kernel_shape") == [1, 1]


def _row(reader: LayerReader, x: str, name: str) -> str:
    """Bottlenecks that keep the shape, as many as there are."""
    block = 0
    while len(reader.users(x)) > 1:
        branch, _ = reader.fork(x, "Conv", "Add")
        x = reader.add(_bottleneck(reader, branch, f"{name}.model.{block}", stride=1), x)
        block += 1
    return x


def _bottleneck(reader: LayerReader, first: Node, name: str, *, stride: int) -> str:
    """Reads the bottleneck that begins with a convolution; returns its output."""
    y = reader.conv(first, f"{name}.conv.conv", f"{name}.conv.bn", stride=1, padding=0)
    y = reader.prelu(y, f"{name}.conv.prelu")
    y = _conv_unit(reader, y, f"{name}.conv_dw", stride=stride, padding=1)
    last, project = reader.next(y, "Conv"), f"{name}.project"
    return reader.conv(last, f"{project}.conv", f"{project}.bn", stride=1, padding=0)


def _conv_unit(reader: LayerReader, x: str, name: str, *, stride: int = 1, padding: int = 0) -> str:
    """Convolution, BatchNorm, PReLU."""
    y = reader.conv(
        reader.next(x, "Conv"), f"{name}.conv", f"{name}.bn", stride=stride, padding=padding
    )
    return reader.prelu(y, f"{name}.prelu")
