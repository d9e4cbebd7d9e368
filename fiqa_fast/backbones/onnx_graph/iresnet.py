"""iresnet as ONNX files have it: exported by torch, with BatchNorm folded or not, or by MXNet.

insightface's packs (buffalo, antelopev2) hold exports of arcface_torch, where only the layers that
could not be folded keep their names. MXNet's LResNet-E-IR networks, such as the ONNX model zoo's
arcfaceresnet100-8, have the same layers under other names.
"""

from __future__ import annotations

from fiqa_fast.backbones.onnx_graph.input import read_pixel_map
from fiqa_fast.backbones.onnx_graph.layers import LayerReader, users_of_first_prelu
from fiqa_fast.backbones.onnx_graph.network import OnnxNetwork
from fiqa_fast.weights.file import WeightsFile
from fiqa_fast.weights.onnx_file import Node

_KEPT_NAME = "layer1.0.bn1.weight"  # exporters cannot fold this one


def read_iresnet(file: WeightsFile) -> OnnxNetwork | None:
    """The iresnet of an ONNX file, of any depth; None where the file is of something else.

    An iresnet shows by a name that exporters keep, or by its first residual unit: BatchNorm in the
    branch, a convolution in the skip connection, both behind the first PReLU.

    Raises:
        WeightsError: the graph begins as an iresnet and goes on as another network.
    """
    named = any(name.endswith(_KEPT_NAME) for name in file.tensors)
    first_users = sorted(node.op for node in users_of_first_prelu(file))
    if not named and first_users != ["BatchNormalization", "Conv"]:
        return None
    reader = LayerReader(file, "an iresnet")
    x, pixels = read_pixel_map(reader)
    x = reader.conv(reader.next(x, "Conv"), "conv1", "bn1", stride=1, padding=1)
    x = reader.prelu(x, "prelu")
    layer, block = 0, 0
    while len(reader.users(x)) > 1:
        branch, skip = reader.fork(x, "BatchNormalization", "Conv", "Add")
        layer, block = (layer + 1, 0) if skip.op == "Conv" else (layer, block + 1)
        x = _residual_unit(reader, x, branch, skip, f"layer{layer}.{block}.")
    x = reader.batch_norm(reader.next(x, "BatchNormalization"), "bn2")
    embedding = reader.linear(x, "fc", "features", bias=True)
    return OnnxNetwork(
        file.path,
        reader.finish(embedding),
        "conv1.weight",
        frozenset(reader.epsilons),
        reader.folded,
        pixels,
    )


def _residual_unit(reader: LayerReader, x: str, branch: Node, skip: Node, name: str) -> str:
    """Reads the unit whose first operations are given; returns its output."""
    stride = 2 if skip.op == "Conv" else 1
    y = reader.batch_norm(branch, f"{name}bn1")
    y = reader.conv(reader.next(y, "Conv"), f"{name}conv1", f"{name}bn2", stride=1, padding=1)
    y = reader.prelu(y, f"{name}prelu")
    y = reader.conv(reader.next(y, "Conv"), f"{name}conv2", f"{name}bn3", stride=stride, padding=1)
    if skip.op == "Conv":
        down = f"{name}downsample."
        x = reader.conv(skip, f"{down}0", f"{down}1", stride=stride, padding=0)
    return reader.add(y, x)
