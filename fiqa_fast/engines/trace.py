"""A scorer as one static graph of plain tensor operators, its gradients written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.engines.constant_folding import fold_constants
from fiqa_fast.engines.decompositions import decompositions
from fiqa_fast.engines.fit import fitted
from fiqa_fast.engines.inputs import example_inputs
from fiqa_fast.errors import UnavailableError
from fiqa_fast.scorers.base import Scorer, working
from fiqa_fast.scorers.evaluation import modes_of_scoring


def trace(scorer: Scorer, outputs: Sequence[str], *, with_embedding: bool = False) -> GraphModule:
    """Writes a scorer out as a graph; the batch is its only dynamic dimension.

    Args:
        scorer: on the CPU, with the engine "reference". Its network's precision is the graph's.
        outputs: of the method, in the order of the columns.
        with_embedding: the graph also gives the network's raw embedding.

    Returns:
        A module that takes the inputs of `example_inputs` and returns raw_score, float32 [B, O]
        (a column for each output), and embedding, float32 [B, D].

    Raises:
        UnavailableError: the method cannot be written as a graph.
    """
    obstacle = scorer.why_no_graph()
    if obstacle:
        raise UnavailableError(
            f"export: expected a method that can be written as a graph, got {scorer.spec.name}:"
            f" {obstacle}; run it on the engine torch"
        )
    backbone = scorer.backbone

    def run(crops: Tensor, noise: Tensor | None) -> tuple[Tensor, ...]:
        forward = ForwardPass(backbone, fitted(backbone.spec.input, crops))
        found = scorer.evaluate_batch(forward, outputs, noise)
        columns = torch.stack([found[o].float() for o in outputs], 1)
        return (columns, working(forward.embedding)) if with_embedding else (columns,)

    from torch.fx.experimental.proxy_tensor import make_fx  # seconds to import

    inputs = _with_dynamic_batch(example_inputs(scorer))
    with modes_of_scoring(backbone.device):
        function = run if len(inputs) == 2 else lambda crops: run(crops, None)
        graph: GraphModule = make_fx(
            function, decomposition_table=decompositions(), tracing_mode="symbolic"
        )(*inputs)
    fold_constants(graph)
    return graph.eval()


def _with_dynamic_batch(inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Tensors without numbers, whose first dimension is a symbol, the same for all."""
    from torch._dynamo.source import ConstantSource
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import (
        DimDynamic,
        ShapeEnv,
        StatelessSymbolicContext,
    )

    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    symbolic: list[Tensor] = []
    for name, tensor in inputs.items():
        sizes = [DimDynamic.DUCK, *[DimDynamic.STATIC] * (tensor.dim() - 1)]
        context: Any = StatelessSymbolicContext(dynamic_sizes=sizes)
        source = ConstantSource(name)
        symbolic.append(mode.from_tensor(tensor, symbolic_context=context, source=source))
    return symbolic
