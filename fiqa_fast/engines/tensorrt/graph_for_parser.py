"""A graph as a library can read and build it; building and refitting must give it the same one."""

from __future__ import annotations

import onnx

from fiqa_fast.engines.tensorrt.libraries import Flavour
from fiqa_fast.engines.tensorrt.spread import spread_pixels
from fiqa_fast.engines.tensorrt.turing import products_as_convolutions
from fiqa_fast.engines.tensorrt.uint8_inputs import convert_first


def graph_for_parser(
    model: onnx.ModelProto, flavour: Flavour, *, turing: bool = False
) -> onnx.ModelProto:
    """Rewrites what a library cannot do.

    Args:
        model: the graph; left as it is.
        flavour: the library.
        turing: for "tensorrt-rtx": whether GPUs of compute capability 7.5 must run it.
    """
    model = convert_first(model)
    if flavour == "tensorrt-rtx":
        model = spread_pixels(model)
    return products_as_convolutions(model) if turing else model
