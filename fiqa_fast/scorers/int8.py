"""What the precision "int8" needs: a CPU, the fused engine, and ranges of activations."""

from __future__ import annotations

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.errors import InvalidArgumentError, UnavailableError
from fiqa_fast.fused import onednn
from fiqa_fast.fused.network import why_not_fusable
from fiqa_fast.fused.quantisation import quantised_layers

_LISTED = 8


def require_int8(method: str, backbone: Backbone, engine: str) -> None:
    """Checks that a network in the precision "int8" can run.

    Args:
        method: its name, for messages.
        backbone: the network.
        engine: that would run it, "torch" or "reference".

    Raises:
        UnavailableError: not on this device, this CPU or this engine.
        InvalidArgumentError: its activation ranges were not measured, or some are missing.
    """
    network = backbone.spec.name
    if backbone.device.type != "cpu":
        raise UnavailableError(
            f"{method}: expected a CPU for the precision int8, got {backbone.device};"
            " int8 on a GPU comes with engines: use device='cpu', or another precision"
        )
    if engine != "torch":
        obstacle = why_not_fusable(backbone)
        remedy = "use another precision" if obstacle else "leave the engine out"
        raise UnavailableError(
            f"{method}: expected the engine torch for the precision int8, got {engine} for"
            f" {network}{obstacle and f': {obstacle}'}; {remedy}"
        )
    if not onednn.multiplies_int8():
        raise UnavailableError(
            f"{method}: expected a CPU with AVX-512 VNNI or AVX-VNNI, and a torch with oneDNN, for"
            " the precision int8, got one without; use another precision"
        )
    ranges = backbone.activation_ranges
    missing = [n for n in quantised_layers(backbone) if ranges is None or n not in ranges.largest]
    if ranges is None or missing:
        has = "none" if ranges is None else f"none for {', '.join(missing[:_LISTED])}"
        raise InvalidArgumentError(
            f"{method}: expected activation ranges of {network} for the precision int8, got {has};"
            " measure them with `fiqa-fast weights calibrate-int8`, and give the file that it"
            " writes as `weights` (--weights)"
        )
