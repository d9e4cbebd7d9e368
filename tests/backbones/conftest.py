"""ONNX models: exported by torch, edited, and computed again without the package."""

import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
import onnx.numpy_helper
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fiqa_fast.weights.file import WeightsFile, read_weights


class _PlainCall(nn.Module):
    """A network without the observer among its inputs, which exporters would ask for."""

    def __init__(self, function, network):
        super().__init__()
        self.function, self.network = function, network

    def forward(self, x):
        return self.function(self.network, x)


@pytest.fixture(scope="session")
def export_onnx() -> Callable[..., onnx.ModelProto]:
    """Exports a network as arcface_torch does; (network, function=..., folded=True)."""

    def export(network, function=lambda net, x: net(x), *, folded=True) -> onnx.ModelProto:
        content, modes = io.BytesIO(), torch.onnx.TrainingMode
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch prefers its new exporter
            torch.onnx.export(
                _PlainCall(function, network).eval(),
                (torch.zeros(1, 3, 112, 112),),
                content,
                dynamo=False,
                opset_version=11,
                training=modes.EVAL if folded else modes.PRESERVE,
                do_constant_folding=folded,
            )
        model = onnx.load_from_string(content.getvalue())
        # What stands below `network` here is the whole network elsewhere.
        for tensor in model.graph.initializer:
            tensor.name = tensor.name.removeprefix("network.")
        for node in model.graph.node:
            node.input[:] = [name.removeprefix("network.") for name in node.input]
            node.output[:] = [name.removeprefix("network.") for name in node.output]
        return model

    return export


@pytest.fixture
def onnx_file(tmp_path) -> Callable[[onnx.ModelProto], WeightsFile]:
    """Writes a model and reads it as a weights file."""

    def read(model: onnx.ModelProto) -> WeightsFile:
        path: Path = tmp_path / "network.onnx"
        onnx.save(model, path)
        return read_weights(path)

    return read


@pytest.fixture(scope="session")
def run_in_float64() -> Callable[[onnx.ModelProto, Tensor], Mapping[str, Tensor]]:
    """Computes every activation of a model, one operator after the other."""

    def run(model: onnx.ModelProto, x: Tensor) -> Mapping[str, Tensor]:
        values = {
            t.name: torch.tensor(onnx.numpy_helper.to_array(t)) for t in model.graph.initializer
        }
        values = {n: t.double() if t.is_floating_point() else t for n, t in values.items()}
        (image,) = (i.name for i in model.graph.input if i.name not in values)
        values[image] = x.double()
        for node in model.graph.node:
            given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            inputs = [values.get(name) for name in node.input]
            values[node.output[0]] = _OPERATORS[node.op_type](given, *inputs)
        return values

    return run


def _conv(given, x, weight, bias=None):
    padding = given["pads"][:2]
    return F.conv2d(x, weight, bias, given["strides"], padding, groups=given["group"])


def _batch_norm(given, x, weight, bias, mean, var):
    shape = (1, -1) + (1,) * (x.dim() - 2)
    scale = weight / (var + given["epsilon"]).sqrt()
    return x * scale.reshape(shape) + (bias - mean * scale).reshape(shape)


def _gemm(given, x, weight, bias):
    return x @ (weight.T if given.get("transB") else weight) + bias


_OPERATORS = {
    "Add": lambda given, x, y: x + y,
    "Sub": lambda given, x, y: x - y,
    "Mul": lambda given, x, y: x * y,
    "Div": lambda given, x, y: x / y,
    "Identity": lambda given, x: x,
    "Dropout": lambda given, x: x,
    "Constant": lambda given: torch.tensor(onnx.numpy_helper.to_array(given["value"])),
    "PRelu": lambda given, x, slope: torch.where(x > 0, x, x * slope),
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Flatten": lambda given, x: x.flatten(1),
    "Reshape": lambda given, x, shape: x.reshape(shape.tolist()),
    "Gemm": _gemm,
    "MatMul": lambda given, x, y: x @ y,
}
