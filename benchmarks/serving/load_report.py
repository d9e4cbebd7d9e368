"""The page of a load test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DISTURBED_ABOVE = 0.1
GOAL = 0.9


def page(result: Mapping[str, Any]) -> str:
    """The results of `load_test.py` as Markdown."""
    asked, machine = result["arguments"], result["machine"]
    throughput, memory = result["throughput"], result["memory"]
    ratio = throughput["served_to_in_process"]
    verdict = "reached" if ratio["median"] >= GOAL else "missed"
    lines = [
        f"# Load test: {asked['scorer']} on {asked['network'] or 'its default network'}",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}, Python"
        f" {machine['python']}, fiqa_fast {machine['fiqa_fast']}; {asked['precision']}, backend"
        f" {asked['backend']}, {asked['instances']} instances of {asked['threads']} threads, queue"
        f" delay {asked['queue_delay_us']} us, shared memory: {asked['shared_memory']}.",
        "",
    ]
    if throughput["waited_fraction"] > _DISTURBED_ABOVE:
        lines += [
            "**Something else used the machine** (threads waited for a core while the server had"
            " nothing to do): measure again.",
            "",
        ]
    lines += [
        "| faces per second, median (iqr) | |",
        "|---|---:|",
        f"| in this process, batches of 16 | {_spread(throughput['in_process_faces_per_s'])} |",
        f"| served, 16 requests of one crop at a time |"
        f" {_spread(throughput['served_faces_per_s'])} |",
        f"| served / in process, within each of {throughput['rounds']} rounds (goal {GOAL:g}:"
        f" {verdict}) | {_spread(ratio, 3)} |",
        "",
        "| latency, ms | at a time | p50 | p95 | p99 | requests | per second |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, by_concurrency in result["latency_ms"].items():
        lines += [
            f"| {kind} | {concurrency} | {found['p50']:.1f} | {found['p95']:.1f} |"
            f" {found['p99']:.1f} | {found['requests']} | {found['requests_per_s']:.1f} |"
            for concurrency, found in by_concurrency.items()
        ]
    lines += [
        "",
        f"| memory over {memory['requests']} requests | MiB at the end | bytes per request |",
        "|---|---:|---:|",
        *(
            f"| {name} | {memory[name]['mib']:.0f} | {memory[name]['bytes_per_request']:+.0f} |"
            for name in ("server", "models")
        ),
    ]
    return "\n".join(lines) + "\n"


def _spread(found: Mapping[str, float | None], digits: int = 1) -> str:
    iqr = found["iqr"]
    return f"{found['median']:.{digits}f}" + ("" if iqr is None else f" ({iqr:.{digits}f})")
