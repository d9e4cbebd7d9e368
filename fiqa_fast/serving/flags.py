"""Flags of tritonserver that are the same on this machine and in a container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

ModelControl = Literal["explicit", "none"]


def server_flags(
    *,
    model_control: ModelControl = "none",
    load: Sequence[str] = (),
    cache_bytes: int = 0,
    rate_limit: Mapping[str, int] | None = None,
    trace_path: Path | None = None,
) -> list[str]:
    """What a server does with its models.

    Args:
        model_control: "explicit": models come and go over the protocol; "none": all, for good.
        load: models to load at the start, "*" for all; with "explicit" only.
        cache_bytes: size of the response cache; 0: none.
        rate_limit: how many there are of each resource that models name; None: no limits.
        trace_path: file for traces, which stay off until they are switched on over the protocol.
    """
    flags = [
        f"--model-control-mode={model_control}",
        # Configurations are complete; else every python model is started twice.
        "--disable-auto-complete-config",
        "--metrics-config=summary_latencies=true",
        # A model that is being replaced does not take the others out of service.
        "--strict-readiness=false",
    ]
    if model_control == "explicit":
        flags += [f"--load-model={name}" for name in load]
    if cache_bytes:
        flags.append(f"--cache-config=local,size={cache_bytes}")
    if rate_limit is not None:
        flags.append("--rate-limit=execution_count")
        flags += [f"--rate-limit-resource={n}:{count}" for n, count in rate_limit.items()]
    if trace_path is not None:
        flags += [f"--trace-config=triton,file={trace_path}", "--trace-config=level=OFF"]
        flags.append("--trace-config=rate=1")
    return flags
