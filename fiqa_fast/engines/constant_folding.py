"""Computes what a traced graph derives from its weights alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node


def fold_constants(graph: GraphModule) -> None:
    """Replaces every operator whose arguments are all constants by its result, in place.

    Turned and scaled weights, scales of BatchNorm layers: engines would compute them in every call.
    """
    values: dict[Node, Any] = {}
    for node in list(graph.graph.nodes):
        if node.op == "get_attr":
            values[node] = _attribute(graph, node.target)
        elif node.op == "call_function" and _reads_constants_only(node, values):
            arguments = torch.fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
            with torch.no_grad():
                values[node] = node.target(*arguments[0], **arguments[1])
    for number, node in enumerate(list(values)):
        used = [user for user in node.users if user not in values]
        if node.op == "get_attr" or not used or not isinstance(values[node], Tensor):
            continue
        name = f"_folded_{number}"
        graph.register_buffer(name, values[node].detach().clone().contiguous())
        with graph.graph.inserting_before(node):
            folded = graph.graph.get_attr(name)
        folded.meta = dict(node.meta)
        node.replace_all_uses_with(folded)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    _forget_unused(graph)
    graph.recompile()


def _reads_constants_only(node: Node, values: dict[Node, Any]) -> bool:
    inputs = node.all_input_nodes
    return bool(inputs) and all(i in values for i in inputs)


def _attribute(graph: GraphModule, target: Any) -> Any:
    owner: Any = graph
    for part in str(target).split("."):
        owner = getattr(owner, part)
    return owner


def _forget_unused(graph: GraphModule) -> None:
    used = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    for name in [n for n in _tensor_names(graph) if n not in used]:
        delattr(graph, name)


def _tensor_names(graph: GraphModule) -> Iterator[str]:
    yield from list(graph._parameters)
    yield from list(graph._buffers)
    yield from [n for n, value in vars(graph).items() if isinstance(value, Tensor)]
