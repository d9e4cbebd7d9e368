"""`fiqa-fast train cr-fiqa`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from fiqa_fast.backbones.registry import resolve_device
from fiqa_fast.cli.scoring_options import Device, Verify
from fiqa_fast.cli.train.evaluations import make_hooks, open_protocols
from fiqa_fast.cli.train.images import find_unusable
from fiqa_fast.cli.train.options import (
    CheckImages,
    Data,
    Evaluate,
    EvaluationAligned,
    EvaluationData,
    EvaluationFmr,
    Out,
    SkipUnreadable,
    show_step,
)
from fiqa_fast.cli.verification import load_networks
from fiqa_fast.training.data.checks import check_training_set
from fiqa_fast.training.data.forms import open_training_set
from fiqa_fast.training.distribution import join_processes, leave_processes
from fiqa_fast.training.recipe import RECIPES, read_recipe
from fiqa_fast.training.train_cr_fiqa import NETWORK_FILE, train_cr_fiqa


def cr_fiqa(
    data: Data,
    out: Out,
    recipe: Annotated[
        str,
        typer.Option(help=f"{', '.join(RECIPES)}, or a YAML file with a recipe's fields."),
    ] = "cr-fiqa-s",
    check_images: CheckImages = False,
    skip_unreadable: SkipUnreadable = False,
    evaluate: Evaluate = None,
    evaluation_data: EvaluationData = None,
    aligned: EvaluationAligned = None,
    evaluation_fmr: EvaluationFmr = 1e-3,
    verify: Verify = None,
    device: Device = "auto",
) -> None:
    """Train CR-FIQA, alone or under torchrun; goes on from the checkpoints in the output folder.

    Writes network.safetensors, which `score --scorer cr-fiqa`, `export` and `serve` take.
    --evaluate looks at the network every `evaluate_every` steps of the recipe, and at the end; the
    comparisons are its own unless --verify names other networks.
    """
    console = Console(stderr=True, markup=False)
    chosen = read_recipe(recipe)
    training_set = open_training_set(data)
    summary = check_training_set(training_set)
    protocols = open_protocols(evaluate or [], evaluation_data, aligned=aligned)
    processes = join_processes(resolve_device(device))
    is_first = processes.rank == 0
    try:
        if is_first:
            console.print(
                f"{training_set.name}: {summary.samples:,} samples of {summary.identities:,}"
                " identities"
            )
            for warning in summary.warnings:
                console.print(warning, soft_wrap=True)
        excluded = find_unusable(
            training_set, console, processes, check=check_images, skip=skip_unreadable
        )
        if not is_first:  # one process evaluates
            protocols = []
        networks = load_networks(verify, device) if verify and protocols else {}
        hooks = make_hooks(protocols, networks, evaluation_fmr, out, console)
        train_cr_fiqa(
            training_set,
            chosen,
            out,
            processes,
            excluded=excluded,
            hooks=hooks,
            progress=lambda step, values: show_step(console, step, values),
        )
        if is_first:
            console.print(f"wrote {out / NETWORK_FILE}")
    finally:
        leave_processes()
