"""Turns a JSON file of pytest-benchmark into Markdown tables, losses shown beside wins.

    python benchmarks/summarise.py results/benchmarks.json > results/benchmarks.md

Reads the `extra_info` that the benchmarks record: `ratio_to_twin` (operators), `paired_medians_us`
(align_crop), `ratio_to_loop` (scorers), `of_scorer_throughput` (the whole way of the data),
`ratio_to_edc_loop` (EDC curves) and `plain_loop_s` (all pairs of embeddings).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

Benchmark = dict[str, Any]


def summarise(report: dict[str, Any]) -> str:
    """The Markdown page of a report."""
    sections = {
        "ratio_to_twin": operators_section,
        "ratio_to_loop": scorers_section,
        "of_scorer_throughput": stream_section,
        "paired_medians_us": align_crop_section,
        "ratio_to_edc_loop": curves_section,
        "plain_loop_s": all_pairs_section,
    }
    lines = ["# Benchmarks", "", f"Measured on {report['datetime'][:10]}: {machine(report)}.", ""]
    for key, section in sections.items():
        chosen = [b for b in report["benchmarks"] if key in b["extra_info"]]
        if chosen:
            lines += section(chosen)
    return "\n".join(lines)


def machine(report: dict[str, Any]) -> str:
    infos = [b["extra_info"] for b in report["benchmarks"] if "torch" in b["extra_info"]]
    threads = sorted({info["threads"] for info in infos})
    cpu = report["machine_info"]["cpu"]
    return (
        f"{cpu.get('brand_raw', 'unknown CPU')}, {cpu.get('count', '?')} cores, torch"
        f" {infos[0]['torch'] if infos else '?'}, {' or '.join(map(str, threads))} threads"
    )


def operators_section(benchmarks: list[Benchmark]) -> list[str]:
    slower = sum(b["extra_info"]["ratio_to_twin"]["median"] >= 1 for b in benchmarks)
    return [
        "## Operators",
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
        *(operator_row(b) for b in benchmarks),
        "",
    ]


def operator_row(benchmark: Benchmark) -> str:
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


def scorers_section(benchmarks: list[Benchmark]) -> list[str]:
    info = benchmarks[0]["extra_info"]
    return [
        "## Scorers",
        "",
        f"On {info['device']}. Times in ms for a face: median ± interquartile range. The"
        " official-style loop (float32, one face at a time), a matrix product and ours run in turn"
        " within each round; ratios are medians of the rounds' ratios. The floor is the time of the"
        f" least operations at the rate of the matrix product, in {info['floor_precision']}.",
        "",
        "| method | network | | rounds | loop | floor | ours | to loop | to floor |",
        "|---|---|---|---|---|---|---|---|---|",
        *(scorer_row(b["extra_info"]) for b in benchmarks),
        "",
    ]


def scorer_row(info: dict[str, Any]) -> str:
    times = [
        f"{info[name]['median']:.2f} ± {info[name]['iqr']:.2f}"
        for name in ("loop_ms", "floor_ms", "per_face_ms")
    ]
    cells = [
        info["method"],
        info["network"],
        f"{info['precision']}, engine {info['engine']}",
        str(info["rounds"]),
        *times,
        ratio(info["ratio_to_loop"]),
        ratio(info["ratio_to_floor"]),
    ]
    return "| " + " | ".join(cells) + " |"


def stream_section(benchmarks: list[Benchmark]) -> list[str]:
    rows = []
    for benchmark in benchmarks:
        info, case = benchmark["extra_info"], benchmark["params"]
        cells = [case["method"], case["precision"], str(info["per_face_ms"])]
        rows.append("| " + " | ".join([*cells, f"{info['of_scorer_throughput']:.0%}"]) + " |")
    return [
        "## A folder of aligned crops: decode, score, write rows",
        "",
        "On SFace; medians of rounds in which the scorer alone runs in turn.",
        "",
        "| method | precision | ms for a face | of the scorer's own throughput |",
        "|---|---|---:|---:|",
        *rows,
        "",
    ]


def align_crop_section(benchmarks: list[Benchmark]) -> list[str]:
    lines = [
        "## align_crop against cv2.warpAffine",
        "",
        "Medians in µs of rounds in which all ways run in turn.",
        "",
        "| case | OpenCV | align_crop, 1 thread | align_crop |",
        "|---|---|---|---|",
    ]
    for benchmark in benchmarks:
        for setting, times in benchmark["extra_info"]["paired_medians_us"].items():
            cells = [f"{benchmark['param']}, {setting}", *map(str, times.values())]
            lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def curves_section(benchmarks: list[Benchmark]) -> list[str]:
    rows = []
    for benchmark in benchmarks:
        info, stats = benchmark["extra_info"], benchmark["stats"]
        cells = [
            benchmark["params"]["policy"],
            f"{info['comparisons']:,}",
            milliseconds(stats["median"], stats["iqr"]),
            f"{info['ratio_to_edc_loop']:.4f}",
            f"{info['ratio_to_copy']:.0f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return [
        "## EDC curves",
        "",
        "Against a plain loop over the steps, and a copy of what is read; all in turn.",
        "",
        "| threshold policy | comparisons | ms | to loop | to copy |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
    ]


def all_pairs_section(benchmarks: list[Benchmark]) -> list[str]:
    rows = []
    for benchmark in benchmarks:
        info = benchmark["extra_info"]
        names = ("whole_s", "floor_s", "plain_loop_s", "ratio_to_floor", "ratio_to_loop")
        cells = [f"{benchmark['params']['samples']:,}", *(f"{info[name]:.3g}" for name in names)]
        rows.append("| " + " | ".join(cells) + " |")
    return [
        "## All pairs of embeddings",
        "",
        "Seconds; the floor is the matrix product alone, the loop takes one row after the other.",
        "",
        "| embeddings | ours | floor | loop | to floor | to loop |",
        "|---:|---:|---:|---:|---:|---:|",
        *rows,
        "",
    ]


def milliseconds(median_s: float, iqr_s: float) -> str:
    return f"{1e3 * median_s:.3f} ± {1e3 * iqr_s:.3f}"


def ratio(value: dict[str, float]) -> str:
    return f"{value['median']:.2f} ± {value['iqr']:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("report", type=Path, help="JSON file of pytest-benchmark")
    sys.stdout.write(summarise(json.loads(parser.parse_args().report.read_text())))


if __name__ == "__main__":
    main()
