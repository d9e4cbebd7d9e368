from pathlib import Path

import pytest
import torch

from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.backbones.onnx_graph.input import read_pixel_map
from fiqa_fast.backbones.onnx_graph.layers import LayerReader
from fiqa_fast.errors import WeightsError
from fiqa_fast.weights.file import WeightsFile
from fiqa_fast.weights.onnx_file import Graph, Node

RGB = [0.485, 0.456, 0.406]


def _read(*steps, swapped=False):
    """What is read of the steps (operator, constant) in front of a convolution."""
    nodes, constants, x = [], {}, "data"
    for number, (op, value) in enumerate(steps):
        constant = torch.tensor(value)
        constants[f"c{number}"] = constant[:, None, None] if constant.ndim == 1 else constant
        inputs = (f"c{number}", x) if swapped else (x, f"c{number}")
        nodes.append(Node(op, "", inputs, (f"x{number}",), {}))
        x = f"x{number}"
    nodes.append(Node("Conv", "", (x, "w"), ("y",), {}))
    graph = Graph(("data",), ("y",), tuple(nodes), constants)
    file = WeightsFile(Path("a.onnx"), "onnx", "", constants, {}, graph)
    first, pixels = read_pixel_map(LayerReader(file, "a network"))
    assert first == x
    return pixels


@pytest.mark.parametrize(
    ("steps", "mean", "scale"),
    [
        ([("Sub", 127.5), ("Div", 127.5)], 127.5, 127.5),
        ([("Sub", 127.5), ("Mul", 0.0078125)], 127.5, 128.0),
        ([("Sub", [127.5]), ("Mul", [0.0078125])], 127.5, 128.0),
        ([("Add", -127.5), ("Div", 128.0)], 127.5, 128.0),
        ([("Mul", 1 / 255), ("Sub", 0.5), ("Mul", 2.0)], 127.5, 127.5),
        ([("Div", 255.0), ("Mul", 2.0), ("Sub", 1.0)], 127.5, 127.5),
        ([("Div", 255.0)], 0.0, 255.0),
        ([("Sub", [127.5] * 3), ("Div", [127.5] * 3)], 127.5, 127.5),
    ],
)
def test_one_number_for_all_channels(steps, mean, scale):
    pixels = _read(*steps)
    spec = InputSpec(pixel_mean=mean, pixel_scale=scale)
    assert pixels.has_mean_of(spec)
    assert not pixels.has_mean_of(InputSpec(pixel_mean=mean + 0.5))
    weight = torch.ones(2, 3, 1, 1)
    assert pixels.weight_for(spec, weight) is weight
    doubled = pixels.weight_for(InputSpec(pixel_scale=2 * scale), weight)
    torch.testing.assert_close(doubled, 2 * weight)


def test_a_number_for_each_channel():
    pixels = _read(("Div", 255.0), ("Sub", RGB), ("Div", [0.25, 0.5, 1.0]))
    torch.testing.assert_close(pixels.mean, torch.tensor(RGB).double() * 255)
    torch.testing.assert_close(pixels.scale, torch.tensor([63.75, 127.5, 255.0]).double())
    assert str(pixels) == "(pixel - [123.675, 116.28, 103.53]) / [63.75, 127.5, 255]"
    assert not pixels.has_mean_of(InputSpec())
    assert pixels.has_mean_of(InputSpec(pixel_mean=(123.675, 116.28, 103.53)))
    weight = torch.rand(2, 3, 3, 3)
    same = pixels.weight_for(InputSpec(pixel_scale=127.5), weight)
    x = torch.rand(3, 3, 3)  # (pixel - mean) / scale of each channel
    at_other_scale = x * (pixels.scale / 127.5)[:, None, None].float()
    torch.testing.assert_close((same * at_other_scale).sum(), (weight * x).sum())


def test_sums_and_products_may_be_swapped():
    pixels = _read(("Add", -127.5), ("Mul", 0.0078125), swapped=True)
    assert (pixels.mean == 127.5).all()
    assert (pixels.scale == 128).all()
    with pytest.raises(WeightsError, match="Sub x0 on data instead of a tensor of the file"):
        _read(("Sub", 127.5), swapped=True)


def test_pixels_that_are_prepared_outside():
    assert _read() is None


def test_other_preparations_are_refused():
    with pytest.raises(WeightsError, match="with Transpose x0 behind data instead of Conv or Sub"):
        _read(("Transpose", 0.0))
    with pytest.raises(WeightsError, match=r"\[4, 1, 1\] numbers for data instead of one for each"):
        _read(("Sub", [1.0, 2.0, 3.0, 4.0]))
    with pytest.raises(WeightsError, match=r"\[1, 3\] numbers for data instead of one for each"):
        _read(("Sub", [RGB]))  # of columns
