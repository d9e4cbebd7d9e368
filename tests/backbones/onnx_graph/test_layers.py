from pathlib import Path

import pytest
import torch
from torch import Tensor

from fiqa_fast.backbones.onnx_graph.layers import LayerReader
from fiqa_fast.errors import WeightsError
from fiqa_fast.weights.file import WeightsFile
from fiqa_fast.weights.onnx_file import Graph, Node

GENERATOR = torch.Generator().manual_seed(0)


def _random(*shape) -> Tensor:
    return torch.randn(shape, generator=GENERATOR)


def _reader(nodes, constants, outputs=("y",)) -> LayerReader:
    nodes = tuple(
        Node(op, "", tuple(inputs), (output,), attributes)
        for op, inputs, output, attributes in nodes
    )
    graph = Graph(("x",), outputs, nodes, constants)
    return LayerReader(WeightsFile(Path("a.onnx"), "onnx", "", constants, {}, graph), "a network")


BN = ["gamma", "beta", "mean", "var"]
BN_CONSTANTS = {"gamma": _random(4), "beta": _random(4), "mean": _random(4), "var": _random(4) ** 2}
W, B = _random(4, 6), _random(4)
FLAT = ("Flatten", ["x"], "flat", {})
GEMM = ("Gemm", ["flat", "w", "b"], "product", {"transB": 1})


def _batch_norm(x, constants):
    gamma, beta, mean, var = (constants[name].double() for name in BN)
    return (x - mean) / (var + 1e-5).sqrt() * gamma + beta


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "nodes",
    [
        [FLAT, GEMM],
        [("Reshape", ["x", "shape"], "flat", {}), GEMM],
        [("Dropout", ["x"], "dropped", {}), ("Flatten", ["dropped"], "flat", {"axis": 1}), GEMM],
        [FLAT, ("Gemm", ["flat", "transposed", "b"], "product", {"alpha": 1.0, "beta": 1.0})],
        [
            FLAT,
            ("MatMul", ["flat", "transposed"], "sum", {}),
            ("Add", ["b", "sum"], "product", {}),
        ],
        [("Shape", ["x"], "size", {}), FLAT, GEMM],
    ],
)
def test_a_linear_layer_with_batch_norm_inside(nodes, bias):
    constants = {"w": W, "b": B, "transposed": W.T.contiguous(), "shape": torch.tensor([1, -1])}
    reader = _reader(nodes, constants)
    assert reader.linear("x", "fc", "bn", bias=bias) == "product"
    assert not reader.folded  # which is about the layers that GraFIQs reads
    x = _random(2, 6).double()
    tensors = {name: tensor.double() for name, tensor in reader.tensors.items()}
    y = x @ tensors["fc.weight"].T + tensors.get("fc.bias", 0)
    for eps in (1e-3, 1e-5, 2e-5):
        scale = tensors["bn.weight"] / (tensors["bn.running_var"] + eps).sqrt()
        found = (y - tensors["bn.running_mean"]) * scale + tensors["bn.bias"]
        assert torch.equal(found, x @ W.double().T + B.double())
    assert ("fc.bias" in tensors) == bias


@pytest.mark.parametrize(
    "nodes",
    [
        [FLAT, GEMM, ("BatchNormalization", ["product", *BN], "y", {"epsilon": 1e-5})],
        [
            FLAT,
            GEMM,
            ("Unsqueeze", ["product"], "deep", {"axes": [2]}),
            ("BatchNormalization", ["deep", *BN], "normalised", {}),
            ("Squeeze", ["normalised"], "y", {"axes": [2]}),
        ],
    ],
)
def test_a_linear_layer_with_batch_norm_behind(nodes):
    reader = _reader(nodes, {"w": W, "b": B, **BN_CONSTANTS})
    assert reader.linear("x", "fc", "bn", bias=True) == "y"
    assert reader.epsilons == {1e-5}
    assert torch.equal(reader.tensors["fc.weight"], W)
    assert torch.equal(reader.tensors["fc.bias"], B)
    for own, name in zip(("weight", "bias", "running_mean", "running_var"), BN, strict=True):
        assert torch.equal(reader.tensors[f"bn.{own}"], BN_CONSTANTS[name])
    with pytest.raises(WeightsError, match="a bias of product instead of the layer fc"):
        _reader(nodes, {"w": W, "b": B, **BN_CONSTANTS}).linear("x", "fc", "bn", bias=False)


def test_a_linear_layer_without_bias_and_batch_norm():
    reader = _reader([FLAT, ("Gemm", ["flat", "w"], "y", {"transB": 1})], {"w": W})
    with pytest.raises(WeightsError, match="with nothing behind y instead of a bias or BatchNorm"):
        reader.linear("x", "fc", "bn", bias=True)


def _conv(reader):
    return reader.conv(reader.next("x", "Conv"), "conv", "bn", stride=2, padding=1)


SETTINGS = {"strides": [2, 2], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}
KERNEL = _random(4, 3, 3, 3)


def test_a_convolution_with_batch_norm_inside():
    reader = _reader([("Conv", ["x", "k", "b"], "y", SETTINGS)], {"k": KERNEL, "b": B})
    assert _conv(reader) == "y"
    assert reader.folded
    assert torch.equal(reader.tensors["conv.weight"], KERNEL)
    y = _random(2, 4, 5, 5)
    bn = torch.nn.BatchNorm2d(4, 2e-5).eval()
    state = {n.removeprefix("bn."): t for n, t in reader.tensors.items() if n.startswith("bn.")}
    bn.load_state_dict(state, strict=False)
    with torch.no_grad():  # exactly, also in float32
        assert torch.equal(bn(y), y + B[:, None, None])
        assert torch.equal(bn.double()(y.double()), y.double() + B.double()[:, None, None])


def test_a_convolution_with_batch_norm_behind():
    nodes = [
        ("Conv", ["x", "k"], "c", SETTINGS),
        ("BatchNormalization", ["c", *BN], "y", {"epsilon": 2e-5}),
    ]
    reader = _reader(nodes, {"k": KERNEL, **BN_CONSTANTS})
    assert _conv(reader) == "y"
    assert not reader.folded
    assert reader.epsilons == {2e-5}
    assert torch.equal(reader.tensors["bn.running_var"], BN_CONSTANTS["var"])
    nodes[0] = ("Conv", ["x", "k", "b"], "c", SETTINGS)
    with pytest.raises(WeightsError, match="a bias in Conv c instead of BatchNormalization alone"):
        _conv(_reader(nodes, {"k": KERNEL, "b": B, **BN_CONSTANTS}))


@pytest.mark.parametrize("shape", [(4,), (4, 1, 1), (1, 4, 1, 1)])
def test_slopes_of_channels(shape):
    slopes = _random(4)
    reader = _reader([("PRelu", ["x", "s"], "y", {})], {"s": slopes.reshape(shape)})
    assert reader.prelu("x", "prelu") == "y"
    assert torch.equal(reader.tensors["prelu.weight"], slopes)


@pytest.mark.parametrize("shape", [(), (1, 4), (2, 2, 1), (2, 4, 1, 1), (1, 1, 4)])
def test_slopes_of_other_things(shape):
    reader = _reader([("PRelu", ["x", "s"], "y", {})], {"s": torch.ones(shape)})
    with pytest.raises(WeightsError, match="instead of one per channel"):
        reader.prelu("x", "prelu")


def test_dropout_and_identity_are_passed():
    nodes = [
        ("Dropout", ["x"], "dropped", {}),
        ("Identity", ["dropped"], "same", {}),
        ("Relu", ["same"], "r", {}),
        ("Add", ["r", "same"], "y", {}),
    ]
    reader = _reader(nodes, {})
    branch, skip = reader.fork("x", "Relu", "Add")
    assert (branch.op, skip.op) == ("Relu", "Add")
    assert reader.add("r", "x") == "y"
    with pytest.raises(WeightsError, match="Add y of r and same instead of r and z"):
        reader.add("r", "z")


def test_one_image_is_expected():
    reader = LayerReader(
        WeightsFile(Path("a.onnx"), "onnx", "", {}, {}, Graph(("x", "size"), ("y",), (), {})), "a"
    )
    with pytest.raises(
        WeightsError, match=r"got a\.onnx with the inputs x, size instead of one im"
    ):
        _ = reader.input


TORCH_NORMALISATION = [
    ("ReduceL2", ["y"], "length", {}),
    ("Clip", ["length", "least"], "clipped", {}),
    ("Shape", ["y"], "size", {}),
    ("Expand", ["clipped", "size"], "expanded", {}),
    ("Div", ["y", "expanded"], "unit", {}),
]


@pytest.mark.parametrize("nodes", [[], [("LpNormalization", ["y"], "u", {})], TORCH_NORMALISATION])
def test_the_embedding_may_be_divided_by_its_length(nodes):
    reader = _reader([("Relu", ["x"], "y", {}), *nodes], {"least": torch.tensor(1e-12)})
    assert reader.finish("y") == {}


def test_what_stands_behind_the_embedding():
    head = ("Gemm", ["y", "module.qs.weight", "module.qs.bias"], "quality", {"transB": 1})
    constants = {"module.qs.weight": _random(1, 4), "module.qs.bias": _random(1)}
    found = _reader([("Relu", ["x"], "y", {}), head], constants).finish("y")
    assert found.keys() == {"qs.weight", "qs.bias"}
    reader = _reader([("Relu", ["x"], "y", {}), ("Tanh", ["y"], "t", {})], {})
    with pytest.raises(WeightsError, match="with Tanh t behind the embedding y instead of the end"):
        reader.finish("y")
