"""`fiqa-fast benchmark`: what a face costs here, beside the official scripts and the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from fiqa_fast.benchmark.cases import (
    DEFAULT_NETWORKS,
    DEFAULT_SCORERS,
    make_groups,
    parse_workloads,
)
from fiqa_fast.benchmark.compare import DEFAULT_TOLERANCE, compare_results
from fiqa_fast.benchmark.network_timing import QUICK, Effort
from fiqa_fast.benchmark.networks import check_network
from fiqa_fast.benchmark.papers import paper_workloads
from fiqa_fast.benchmark.results import BenchmarkResult, read_result, write_result
from fiqa_fast.benchmark.run import run_benchmark
from fiqa_fast.benchmark.tables import changes_table, result_page
from fiqa_fast.cli.benchmark_quality import quality
from fiqa_fast.errors import InvalidArgumentError

_SLOWER = 1  # exit status of a comparison that found something slower


benchmark = typer.Typer(name="benchmark", invoke_without_command=True)
benchmark.command()(quality)


@benchmark.callback()
def speed(
    context: typer.Context,
    network: Annotated[
        list[str] | None,
        typer.Option(
            help="Network; may be repeated. Without packaged weights, and without --weights, random"
            " ones: fit for timing only. Default: sface and iresnet50."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights file of one network of your own.")
    ] = None,
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD[.OUTPUT]",
            help="Method; may be repeated. grafiqs.image is one output, grafiqs+ser-fiq everything"
            " of both from one pass. Default: grafiqs, faceqan, ser-fiq, embedding-norm.",
        ),
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="As `score` takes it; may be repeated.")
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help="What computes the scores; may be repeated.")
    ] = None,
    batch_size: Annotated[
        list[int] | None, typer.Option(help="Faces in a call; may be repeated. Default: 1 and 8.")
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(help="Threads of torch; may be repeated.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(help="Rounds of each method, at most; slow ones get fewer.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="SFace only, one face at a time, few rounds.")
    ] = False,
    papers: Annotated[
        bool,
        typer.Option("--papers", help="Also what the papers' tables have: FaceQAN to k=100."),
    ] = False,
    memory: Annotated[
        bool,
        typer.Option("--memory", help="Also peak memory on the CPU, with a process for each case."),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="JSON file to write; is replaced.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown; the default without -o.")
    ] = False,
    show: Annotated[
        Path | None,
        typer.Option(metavar="RESULTS", help="Print a JSON file as Markdown; measures nothing."),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="OLD NEW",
            help="Compare two JSON files; measures nothing. Exit status 1: something is slower.",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Part by which ratios to loop and floor may grow.")
    ] = DEFAULT_TOLERANCE,
) -> None:
    """Measure methods against the official scripts' cost and the machine's floor.

    Everything that is compared runs in turn, round after round, so that ratios hold on a machine
    whose speed drifts. A default run takes about 3 minutes on two cores, --quick half a minute.
    `benchmark quality` measures how good the scores are.
    """
    if context.invoked_subcommand is not None:
        return
    if compare is not None:
        _compare(*compare, tolerance)
        return
    if show is not None:
        typer.echo(result_page(read_result(show)), nl=False)
        return
    if out is not None and not out.parent.is_dir():
        raise InvalidArgumentError(
            f"benchmark: expected -o in a folder that exists, got {out}; make the folder first"
        )
    result = _measure(
        network,
        weights,
        scorer or list(DEFAULT_SCORERS),
        precisions=precision or ["auto"],
        engines=engine or ["auto"],
        batch_sizes=batch_size or ([1] if quick else None),
        threads=threads or [torch.get_num_threads()],
        device=device,
        effort=_effort(rounds, quick=quick, memory=memory),
        quick=quick,
        papers=papers,
    )
    if out is not None:
        write_result(result, out)
        Console(stderr=True, markup=False).print(f"wrote {out}", soft_wrap=True)
    if markdown or out is None:
        typer.echo(result_page(result), nl=False)


def _effort(rounds: int | None, *, quick: bool, memory: bool) -> Effort:
    usual = QUICK if quick else Effort()
    return replace(usual, rounds=usual.rounds if rounds is None else rounds, memory=memory)


def _measure(
    networks: list[str] | None,
    weights: Path | None,
    scorers: list[str],
    *,
    precisions: list[str],
    engines: list[str],
    batch_sizes: list[int] | None,
    threads: list[int],
    device: str,
    effort: Effort,
    quick: bool,
    papers: bool,
) -> BenchmarkResult:
    if weights is not None and len(networks or []) > 1:
        raise InvalidArgumentError(
            f"benchmark: expected one --network at most with --weights, got"
            f" {', '.join(networks or [])}; run it once for each file"
        )
    chosen: list[str | None] = [None] if weights is not None else list(DEFAULT_NETWORKS)
    if quick and weights is None:
        chosen = ["sface"]
    chosen = list(networks) if networks else chosen
    for name in chosen:
        check_network(name)
    workloads = [w for text in scorers for w in parse_workloads(text)]
    if papers:
        workloads += [w for w in paper_workloads() if w not in workloads]
    groups = make_groups(
        workloads,
        chosen,
        precisions=precisions,
        engines=engines,
        batch_sizes=batch_sizes,
        threads=threads,
    )
    console = Console(stderr=True, markup=False)
    with console.status("") as status:

        def show_progress(text: str) -> None:
            status.update(f"measuring: {text}")

        return run_benchmark(
            groups, weights=weights, device=device, effort=effort, progress=show_progress
        )


def _compare(old_path: Path, new_path: Path, tolerance: float) -> None:
    old, new = read_result(old_path), read_result(new_path)
    changes = compare_results(old, new, tolerance)
    typer.echo(changes_table(changes), nl=False)
    regressions = [change for change in changes if change.is_regression]
    console = Console(stderr=True, markup=False)
    if old.machine != new.machine:
        console.print("the machines differ: ratios are compared, but they may differ with them")
    console.print(f"{len(changes)} cases, {len(regressions)} slower or gone")
    if regressions:
        raise typer.Exit(_SLOWER)
