"""From an ONNX file to a plan."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from fiqa_fast.engines.tensorrt import targets
from fiqa_fast.engines.tensorrt.batch_profile import BatchProfile
from fiqa_fast.engines.tensorrt.graph_for_parser import graph_for_parser
from fiqa_fast.engines.tensorrt.libraries import Flavour, Library, load_library
from fiqa_fast.engines.tensorrt.messages import Messages
from fiqa_fast.engines.tensorrt.onnx_model import read_onnx
from fiqa_fast.engines.tensorrt.plan_file import PlanRecord, write_plan
from fiqa_fast.engines.tensorrt.timing_cache import TimingCache
from fiqa_fast.errors import InvalidArgumentError, UnavailableError


def build_engine(
    onnx: Path,
    plan: Path,
    *,
    flavour: Flavour = "tensorrt",
    profile: BatchProfile | None = None,
    compute_capabilities: Sequence[str] | None = None,
    device: str = "cuda:0",
    timing_cache: Path | None = None,
    refittable: bool = False,
    workspace_bytes: int | None = None,
) -> PlanRecord:
    """Builds a plan for a graph and writes it with its record.

    The network is strongly typed: every tensor has the number format of the graph. TF32 is off, in
    every plan: it would round the factors of float32 products to 10 bits, on which gradients and
    their signs do not survive.

    Args:
        onnx: the graph, dynamic in its batch alone, with its weights inside.
        plan: the file to write; its record goes to `plan`.json.
        flavour: "tensorrt" builds for the GPU that it runs on; "tensorrt-rtx" ahead of time.
        profile: batch sizes; None: 1, 8 and 32.
        compute_capabilities: for "tensorrt-rtx": some of `targets.AHEAD_OF_TIME`; None: all but
            SM75 (Turing), which is better built for alone. For "tensorrt" it must be None.
        device: for "tensorrt": the GPU to build on and for.
        timing_cache: file of a timing cache, for "tensorrt" only; None: none.
        refittable: other weights can be put in later (`TensorRTEngine.refit`). The plan is slower,
            and TensorRT-RTX needs a GPU to build it.
        workspace_bytes: the most scratch memory that kernels may take; None: all of the GPU's.

    Returns:
        The record.

    Raises:
        InvalidArgumentError: an argument is wrong, or the library cannot read the graph.
        UnavailableError: the library or a GPU is missing, or it cannot build the graph.
    """
    library = load_library(flavour)
    model = read_onnx(onnx)
    profile = profile or BatchProfile()
    cache = None if timing_cache is None else TimingCache(library, timing_cache)
    if flavour == "tensorrt-rtx":
        capabilities = targets.ahead_of_time(compute_capabilities, model)
        turing = targets.TURING in capabilities
        on_device: AbstractContextManager[object] = nullcontext()
    else:
        gpu = _gpu_to_build_for(device, compute_capabilities)
        capabilities, turing = (targets.of_gpu(gpu),), False
        on_device = torch.cuda.device(gpu)

    messages = Messages(library)
    with on_device:
        builder = library.module.Builder(messages.logger)
        # Parser and network refer to the builder's memory: all stay until the plan is there.
        network = builder.create_network(_network_flags(library))
        parser = library.module.OnnxParser(network, messages.logger)
        graph = graph_for_parser(model.proto, flavour, turing=turing)
        if not parser.parse(graph.SerializeToString()):
            raise InvalidArgumentError(
                f"{flavour}: expected a graph that its parser knows, got {onnx}:"
                f" {_parser_errors(parser)}; export the scorer with this version"
            )
        config = builder.create_builder_config()
        _configure(config, library, refittable, workspace_bytes)
        profile.add_to(config, builder, model.inputs)
        if flavour == "tensorrt-rtx":
            _set_targets(config, library, capabilities)
        if cache is not None:
            cache.attach(config)
        messages.clear()
        serialised = builder.build_serialized_network(network, config)
        if serialised is None:
            raise UnavailableError(
                f"{flavour}: expected to build {onnx} for {', '.join(capabilities)}, got:"
                f" {messages.reason()}{_remedy(library, refittable)}"
            )
        if cache is not None:
            cache.save(config)
        content = bytes(serialised)
    record = PlanRecord(
        provenance=model.provenance,
        flavour=flavour,
        version=library.version,
        compute_capabilities=capabilities,
        profile=profile,
        number_formats=model.number_formats,
        turing=turing,
        refittable=refittable,
        workspace_bytes=workspace_bytes,
        structure_sha256=model.structure_sha256,
        onnx_sha256=model.sha256,
        plan_sha256=hashlib.sha256(content).hexdigest(),
    )
    write_plan(plan, content, record)
    return record


def _gpu_to_build_for(device: str, compute_capabilities: Sequence[str] | None) -> torch.device:
    if compute_capabilities is not None:
        raise InvalidArgumentError(
            f"tensorrt: expected compute_capabilities=None, got {', '.join(compute_capabilities)};"
            " it builds for the GPU that it runs on, the flavour tensorrt-rtx for others"
        )
    return targets.usable_gpu(device, "tensorrt")


def _network_flags(library: Library) -> int:
    """TensorRT 10 must be asked for strong types; later ones and TensorRT-RTX know no others."""
    if library.flavour == "tensorrt" and library.major < 11:
        return 1 << int(library.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return 0


def _configure(
    config: Any, library: Library, refittable: bool, workspace_bytes: int | None
) -> None:
    flags, pools = library.module.BuilderFlag, library.module.MemoryPoolType
    config.clear_flag(flags.TF32)
    if refittable:
        config.set_flag(flags.REFIT)
    if workspace_bytes is None:
        return
    if workspace_bytes > 0:
        config.set_memory_pool_limit(pools.WORKSPACE, workspace_bytes)
    if config.get_memory_pool_limit(pools.WORKSPACE) != workspace_bytes:
        raise InvalidArgumentError(
            f"{library.flavour}: expected workspace_bytes > 0 that the library takes, got"
            f" {workspace_bytes}"
        )


def _set_targets(config: Any, library: Library, capabilities: Sequence[str]) -> None:
    config.num_compute_capabilities = len(capabilities)
    for index, name in enumerate(capabilities):
        capability = getattr(library.module.ComputeCapability, name)
        if not config.set_compute_capability(capability, index):
            raise UnavailableError(
                f"{library.flavour}: expected a library that builds for {name}, got version"
                f" {library.version}, which refuses it; name other compute_capabilities"
            )


def _parser_errors(parser: Any) -> str:
    """Which operators, and why; the first few."""
    errors = [parser.get_error(i) for i in range(min(parser.num_errors, 3))]
    return "; ".join(
        f"{e.node_operator() or 'the file'} {e.node_name()}".strip()
        + ": "
        + " ".join(e.desc().split())
        for e in errors
    )


def _remedy(library: Library, refittable: bool) -> str:
    if library.flavour == "tensorrt-rtx" and refittable and not torch.cuda.is_available():
        return "; it builds refittable plans only on a machine with a GPU: leave refittable out"
    return ""
