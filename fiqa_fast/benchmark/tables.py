"""A benchmark's results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fiqa_fast.benchmark.compare import Change
from fiqa_fast.benchmark.measure import Spread
from fiqa_fast.benchmark.papers import PASSES, TABLES, PaperTable, find_case, missing_reason
from fiqa_fast.benchmark.results import BenchmarkResult, CaseResult

_DISTURBED = (
    "† Something else used the machine: threads had to wait for a core. Measure again.",
    "",
)


def result_page(result: BenchmarkResult) -> str:
    """The whole page."""
    sections = (
        _head(result),
        _goal_section(result),
        _scaling_section(result),
        _latency_section(result),
        _gpu_section(result),
        _papers_section(result),
        _skipped_section(result),
    )
    return "\n".join(line for section in sections for line in section).rstrip() + "\n"


def changes_table(changes: Sequence[Change]) -> str:
    """A comparison of two results; growths above 1 are slower."""
    rows = [
        (str(c.key), _growth(c.to_loop), _growth(c.to_floor), c.reason or c.verdict.value)
        for c in changes
    ]
    return "\n".join(_table(("case", "to loop, new / old", "to floor, new / old", ""), rows)) + "\n"


def _head(result: BenchmarkResult) -> list[str]:
    machine, rates = result.machine, result.rates
    speeds = [f"{p} {rate / 1e12:.2f}" for p, rate in rates.flops_per_s.items()]
    lines = [
        "# Benchmark",
        "",
        f"{result.created}: {machine.cpu}, {machine.cores} cores"
        f" ({', '.join(machine.cpu_flags) or 'flags unknown'}), torch {machine.torch},"
        f" {machine.threads} threads, Python {machine.python}, fiqa_fast {machine.fiqa_fast}.",
    ]
    if machine.gpu is not None:
        gpu = machine.gpu
        lines.append(
            f"GPU: {gpu.name}, {gpu.memory_gib:g} GiB, driver {gpu.driver or 'unknown'}, CUDA"
            f" {gpu.cuda}, multiprocessors at {gpu.sm_clock_mhz or '?'} of"
            f" {gpu.max_sm_clock_mhz or '?'} MHz, power limit {gpu.power_limit_w or '?'} W."
        )
    lines += [
        f"A matrix product runs at {', '.join(speeds)} TFLOP/s (int8: TOP/s), a copy at"
        f" {rates.copied_bytes_per_s / 1e9:.1f} GB/s.",
        "",
    ]
    rows = [
        (
            network.name,
            network.weights,
            f"{network.forward_gflop:.2f}",
            f"{network.weight_mib:.0f}",
            f"{network.weights_read_ms:.2f}",
        )
        for network in result.networks
    ]
    header = ("network", "weights", "GFLOP forward", "MiB in float32", "reading them once, ms")
    return [*lines, *_table(header, rows), ""]


def _goal_section(result: BenchmarkResult) -> list[str]:
    rows = [
        (
            case.key.method,
            case.key.network,
            f"{_ran(case)}, batch {case.key.batch_size}, {case.key.threads} threads",
            "" if case.loop_ms is None else _spread(case.loop_ms),
            f"{_spread(case.floor_ms)} ({case.floor_precision})",
            _spread(case.ours_ms) + (" †" if case.is_disturbed else ""),
            "" if case.ratio_to_loop is None else _ratio(case.ratio_to_loop),
            _ratio(case.ratio_to_floor),
            str(case.rounds),
        )
        for case in result.cases
    ]
    header = (
        "method", "network", "", "official-style loop", "floor", "ours", "ours / loop",
        "ours / floor", "rounds",
    )  # fmt: skip
    return [
        "## Loop, floor, ours",
        "",
        "Times in ms for a face: median ± interquartile range. Loop, matrix product and ours run in"
        " turn within each round; ratios are medians of the rounds' ratios. The loop is in float32,"
        " one face at a time, and spends what the paper's script spends. The floor is the time that"
        " the least operations (2 for each multiplication and addition of convolutions and linear"
        " layers) take at the rate of a matrix product in the precision in brackets.",
        "",
        *_table(header, rows),
        "",
        *(_DISTURBED if any(case.is_disturbed for case in result.cases) else ()),
    ]


def _scaling_section(result: BenchmarkResult) -> list[str]:
    """Times over batch sizes and threads, where there are several."""
    columns = sorted({(c.key.threads, c.key.batch_size) for c in result.cases})
    if len(columns) < 2:
        return []
    by_method: dict[tuple[str, ...], dict[tuple[int, int], CaseResult]] = {}
    for case in result.cases:
        name = (case.key.method, case.key.network, _ran(case))
        by_method.setdefault(name, {})[case.key.threads, case.key.batch_size] = case
    rows = [
        (
            *name,
            *(f"{cases[c].ours_ms.median:.2f}" if c in cases else "" for c in columns),
        )
        for name, cases in by_method.items()
    ]
    header = ("method", "network", "", *(f"{t} threads, batch {b}" for t, b in columns))
    return ["## Over batch sizes and threads", "", "ms for a face.", "", *_table(header, rows), ""]


def _latency_section(result: BenchmarkResult) -> list[str]:
    rows = [
        (
            case.key.method,
            case.key.network,
            _ran(case),
            f"{case.latency.p50_ms:.2f}",
            _number(case.latency.p90_ms),
            _number(case.latency.p99_ms),
            str(case.latency.calls),
            "" if case.peak_memory_mib is None else f"{case.peak_memory_mib:.0f}",
        )
        for case in result.cases
        if case.latency is not None
    ]
    if not rows:
        return []
    header = ("method", "network", "", "p50, ms", "p90", "p99", "calls", "peak memory, MiB")
    return [
        "## Latency of one face",
        "",
        "p90 from 10 calls on, p99 from 100.",
        "",
        *_table(header, rows),
        "",
    ]


def _gpu_section(result: BenchmarkResult) -> list[str]:
    rows = [
        (
            case.key.method,
            case.key.network,
            f"{_ran(case)}, batch {case.key.batch_size}",
            "" if case.energy_j is None else f"{case.energy_j:.3g}",
            "" if case.sm_clock_mhz is None else _spread(case.sm_clock_mhz, digits=0),
            "" if case.peak_memory_mib is None else f"{case.peak_memory_mib:.0f}",
        )
        for case in result.cases
        if case.key.device == "cuda"
    ]
    if not rows:
        return []
    header = ("method", "network", "", "J for a face", "clock, MHz", "peak memory, MiB")
    return ["## Energy, clock and memory of the GPU", "", *_table(header, rows), ""]


def _papers_section(result: BenchmarkResult) -> list[str]:
    lines = ["## The papers' tables", ""]
    for table in TABLES:
        lines += [f"### {table.title}", "", table.note, "", *_paper_rows(table, result), ""]
    rows = [(p.method, *map(str, p.official), *map(str, p.needed), p.note) for p in PASSES]
    header = (
        "method", "forward, official", "backward to the input", "backward to the weights",
        "forward, needed", "backward, needed", "",
    )  # fmt: skip
    return [
        *lines,
        "### Passes of an image through the network, for a face",
        "",
        *_table(header, rows),
        "",
    ]


def _paper_rows(table: PaperTable, result: BenchmarkResult) -> list[str]:
    skipped = [name for s in result.skipped for name in s.key.scorer.split("+")]
    rows = []
    for row in table.rows:
        given = "" if row.spread_ms is None else f" ± {row.spread_ms:g}"
        case = find_case(row, result)
        ours = missing_reason(row, skipped) if case is None else _spread(case.ours_ms)
        where = "" if case is None else f"{case.key.network}, {_ran(case)}, {case.key.device}"
        rows.append((row.method, f"{row.paper_ms:g}{given}", ours, where))
    return _table(("method", "paper, ms", "ours, ms", ""), rows)


def _skipped_section(result: BenchmarkResult) -> list[str]:
    if not result.skipped:
        return []
    return ["## Not measured", "", *(f"- {s.key}: {s.reason}" for s in result.skipped), ""]


def _ran(case: CaseResult) -> str:
    asked = "" if case.key.precision != "auto" else " (auto)"
    return f"{case.ran_precision}{asked}, engine {case.ran_engine}"


def _spread(value: Spread, digits: int = 2) -> str:
    around = "" if value.iqr is None else f" ± {value.iqr:.{digits}f}"
    return f"{value.median:.{digits}f}{around}"


def _ratio(value: Spread) -> str:
    around = "" if value.iqr is None else f" ± {value.iqr:.2g}"
    return f"{value.median:.3g}{around}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _growth(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
