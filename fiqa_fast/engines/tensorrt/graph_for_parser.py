"""A graph as TensorRT's parser wants it; building and refitting must give it the same one."""

from __future__ import annotations

import onnx

from fiqa_fast.engines.tensorrt.turing import products_as_convolutions
from fiqa_fast.engines.tensorrt.uint8_inputs import convert_first


def graph_for_parser(model: onnx.ModelProto, *, turing: bool) -> onnx.ModelProto:
    """Rewrites what the library cannot read.

    Args:
        model: the graph; left as it is.
        turing: whether GPUs of compute capability 7.5 must run it (`turing.py`).
    """
    model = convert_first(model)
    return products_as_convolutions(model) if turing else model
