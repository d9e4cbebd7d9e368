"""Turns a JSON file of pytest-benchmark into a Markdown table, losses shown beside wins.

    python benchmarks/summarise.py ops.json > benchmarks/results/ops_cpu.md

Needs the `extra_info` that the `compare` fixture of benchmarks/ops records.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def milliseconds(median_s: float, iqr_s: float) -> str:
    return f"{1e3 * median_s:.3f} ± {1e3 * iqr_s:.3f}"


def ratio(value: dict[str, float]) -> str:
    return f"{value['median']:.2f} ± {value['iqr']:.2f}"


def row(benchmark: dict[str, Any]) -> str:
    info, stats = benchmark["extra_info"], benchmark["stats"]
    name, _, case = benchmark["name"].removeprefix("test_").partition("[")
    cells = [
        name,
        case.rstrip("]").replace("-", " "),
        milliseconds(stats["median"], stats["iqr"]),
        milliseconds(info["twin_s"]["median"], info["twin_s"]["iqr"]),
        ratio(info["ratio_to_twin"]),
        ratio(info["ratio_to_floor"]),
        "faster" if info["ratio_to_twin"]["median"] < 1 else "**slower**",
    ]
    return "| " + " | ".join(cells) + " |"


def summarise(report: dict[str, Any]) -> str:
    """The Markdown page of a report."""
    benchmarks = [b for b in report["benchmarks"] if "ratio_to_twin" in b["extra_info"]]
    if not benchmarks:
        raise SystemExit(
            "summarise: expected benchmarks with extra_info from the `compare` fixture, got none;"
            " run `pytest benchmarks/ops --benchmark-only --benchmark-json=FILE`"
        )
    machines = {
        f"{i['device']}; torch {i['torch']}, {i['threads']} threads"
        for i in (b["extra_info"] for b in benchmarks)
    }
    slower = sum(b["extra_info"]["ratio_to_twin"]["median"] >= 1 for b in benchmarks)
    lines = [
        "# Operators",
        "",
        *(f"Machine: {machine}; {report['datetime'][:10]}." for machine in sorted(machines)),
        "",
        f"{len(benchmarks)} cases, {len(benchmarks) - slower} faster than plain torch,"
        f" {slower} not. Time in ms: median ± interquartile range of"
        f" {benchmarks[0]['stats']['rounds']} rounds. The operator, its plain torch twin and a copy"
        " of the same tensor run in turn within each round; ratios are medians of the rounds'"
        " ratios. The floor is the time that the operator's bytes, read and written once, take at"
        " the speed of that copy: ratios below 1 mean that reading is faster than copying.",
        "",
        "| operator | case | ms | twin, ms | to twin | to floor | |",
        "|---|---|---|---|---|---|---|",
        *(row(b) for b in benchmarks),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("report", type=Path, help="JSON file of pytest-benchmark")
    sys.stdout.write(summarise(json.loads(parser.parse_args().report.read_text())))


if __name__ == "__main__":
    main()
