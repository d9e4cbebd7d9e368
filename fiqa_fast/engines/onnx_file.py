"""Traced graphs as ONNX models, which every engine reads."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.fx import GraphModule

from fiqa_fast.engines.inputs import example_inputs
from fiqa_fast.engines.optional import require
from fiqa_fast.engines.trace import trace
from fiqa_fast.errors import WeightsError
from fiqa_fast.provenance import Provenance, provenance_of
from fiqa_fast.scorers.base import Scorer

OPSET = 18
_OPSET_WITH_BF16 = 22
METADATA_KEY = "fiqa"
"""Under which a file holds its provenance."""
OUTPUTS = ("raw_score", "embedding")


def to_onnx(
    scorer: Scorer, outputs: Sequence[str] | None = None, *, with_embedding: bool = False
) -> onnx.ModelProto:
    """Writes a scorer as an ONNX model.

    Its inputs are crops, uint8 RGB [batch, 112, 112, 3], and, for random methods, noise
    [batch, ...] (`Scorer.noise_spec`; bool as uint8); its outputs raw_score, float32 [batch, O],
    and embedding, float32 [batch, D], where it is wanted. The batch is dynamic. Only standard
    operators (of opset 18; of 22 in bf16, which older ones lack), no float64.

    Args:
        scorer: on the CPU, with the engine "reference"; its network's precision is the graph's.
        outputs: of the method, in the order of the columns of raw_score; None: all of them. What
            none of them needs is not computed.
        with_embedding: see above.

    Raises:
        UnavailableError: the method cannot be written as a graph, or onnxscript is missing.
    """
    require("onnxscript", "engines")
    columns = tuple(scorer.spec.outputs if outputs is None else outputs)
    graph = trace(scorer, columns, with_embedding=with_embedding)
    model = _convert(graph, scorer, with_embedding)
    _use_no_float64(model)
    _type_weights(model)
    provenance = replace(provenance_of(scorer), outputs=columns)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, provenance.to_json()
    model.producer_name, model.producer_version = "fiqa_fast", provenance.version
    onnx.checker.check_model(model, full_check=True)
    return model


def read_provenance(model: onnx.ModelProto) -> Provenance:
    """What made an exported model.

    Raises:
        WeightsError: it is not one of ours.
    """
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            return Provenance.from_json(entry.value)
    raise WeightsError(
        "engine: expected a model that `fiqa-fast export` wrote, got one without its metadata;"
        " export the scorer again"
    )


def _convert(graph: GraphModule, scorer: Scorer, with_embedding: bool) -> onnx.ModelProto:
    inputs = example_inputs(scorer)
    in_bf16 = scorer.backbone.precision == "bf16"
    batch = torch.export.Dim("batch", min=1)
    shapes = tuple({0: batch} for _ in inputs)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it tells that torchvision is missing
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own code, about itself
            program = torch.onnx.export(
                graph,
                tuple(inputs.values()),
                dynamo=True,
                opset_version=_OPSET_WITH_BF16 if in_bf16 else OPSET,
                dynamic_shapes=shapes,
                input_names=list(inputs),
                output_names=list(OUTPUTS[: 1 + with_embedding]),
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    return model


def _use_no_float64(model: onnx.ModelProto) -> None:
    """Turns float64 into float32: where scorers sum in it, engines do not have it."""
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to":
                attribute.i = _narrow(attribute.i)
            elif attribute.type == onnx.AttributeProto.TENSOR:
                _narrow_tensor(attribute.t)
    for tensor in model.graph.initializer:
        _narrow_tensor(tensor)
    for value in _values(model.graph):
        kind = value.type.tensor_type
        kind.elem_type = _narrow(kind.elem_type)


def _type_weights(model: onnx.ModelProto) -> None:
    """Gives weights the type of what they are multiplied with.

    The exporter folds BatchNorm layers, which stay float32, into convolutions of any precision, and
    leaves the products in float32.
    """
    kinds = {value.name: value.type.tensor_type.elem_type for value in _values(model.graph)}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm"):
            continue
        kind = kinds[node.input[0]]
        for name in node.input[1:]:
            tensor = tensors.get(name)
            if tensor is not None and tensor.data_type != kind:
                dtype = helper.tensor_dtype_to_np_dtype(kind)
                values = numpy_helper.to_array(tensor).astype(dtype)
                tensor.CopyFrom(numpy_helper.from_array(values, name))
    of_activations = [value for value in model.graph.value_info if value.name not in tensors]
    del model.graph.value_info[:]
    model.graph.value_info.extend(of_activations)


def _narrow(kind: int) -> int:
    return int(TensorProto.FLOAT if kind == TensorProto.DOUBLE else kind)


def _narrow_tensor(tensor: Any) -> None:
    if tensor.data_type == TensorProto.DOUBLE:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _values(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    yield from graph.input
    yield from graph.output
    yield from graph.value_info
