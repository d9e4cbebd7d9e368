"""`fiqa-fast train`: CR-FIQA, distilling any method into one pass, optimising labels."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import typer
from rich.console import Console
from rich.progress import Progress, track

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.registry import READY_BACKBONES, load_backbone, resolve_device
from fiqa_fast.cli.scoring_options import Device
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.embedding_files import read_embeddings
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.evaluation.score_files import read_scores
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.checks import check_training_set
from fiqa_fast.training.data.crops import find_unreadable
from fiqa_fast.training.data.forms import open_training_set
from fiqa_fast.training.distill import DistillSettings
from fiqa_fast.training.distill import distill as run_distillation
from fiqa_fast.training.distribution import join_processes, leave_processes
from fiqa_fast.training.label_optimization import optimise_labels
from fiqa_fast.training.recipe import RECIPES, read_recipe
from fiqa_fast.training.train_cr_fiqa import NETWORK_FILE, train_cr_fiqa
from fiqa_fast.types import Float64Array

_SHOWN = 10  # unreadable images

train = typer.Typer(
    name="train",
    help="Train networks with a quality head; optimise quality labels.",
    no_args_is_help=True,
)

_Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Aligned crops: a folder with a sub-folder for each identity, insightface's train.rec,"
        " or WebDataset shards (shard-{000000..000099}.tar).",
    ),
]
_Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for checkpoints and results.")]
_Scores = Annotated[
    Path,
    typer.Option(
        help="Labels of the samples: of `fiqa-fast score`, or a CSV file (sample,METHOD).",
    ),
]
_Method = Annotated[
    str | None, typer.Option(help="Which method of the file; needed where it has several.")
]
_CheckImages = Annotated[
    bool,
    typer.Option(
        "--check-images", help="Decode every image before the training; thousands a second."
    ),
]
_Network = Annotated[
    str, typer.Option(help="A network with packaged weights, or a weights file, to begin with.")
]


@train.command("cr-fiqa")
def cr_fiqa(
    data: _Data,
    out: _Out,
    recipe: Annotated[
        str,
        typer.Option(help=f"{', '.join(RECIPES)}, or a YAML file with a recipe's fields."),
    ] = "cr-fiqa-s",
    check_images: _CheckImages = False,
    device: Device = "auto",
) -> None:
    """Train CR-FIQA, alone or under torchrun; goes on from the checkpoints in the output folder.

    Writes network.safetensors, which `score --scorer cr-fiqa`, `export` and `serve` take.
    """
    console = Console(stderr=True, markup=False)
    chosen = read_recipe(recipe)
    training_set = open_training_set(data)
    summary = check_training_set(training_set)
    processes = join_processes(resolve_device(device))
    try:
        if processes.rank == 0:
            console.print(
                f"{training_set.name}: {summary.samples:,} samples of {summary.identities:,}"
                " identities"
            )
            for warning in summary.warnings:
                console.print(warning, soft_wrap=True)
            if check_images:
                _check_images(training_set, console)
        processes.wait()
        train_cr_fiqa(
            training_set,
            chosen,
            out,
            processes,
            progress=lambda step, values: _show(console, step, values),
        )
        if processes.rank == 0:
            console.print(f"wrote {out / NETWORK_FILE}")
    finally:
        leave_processes()


@train.command()
def distill(
    data: _Data,
    out: _Out,
    scores: _Scores,
    method: _Method = None,
    network: _Network = "sface",
    head_only: Annotated[
        bool, typer.Option("--head-only", help="The network stays as it is.")
    ] = False,
    epochs: Annotated[int, typer.Option(help="Over the samples.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Of a step.")] = 128,
    precision: Annotated[str, typer.Option(help="float32, bf16 or fp16.")] = "float32",
    seed: Annotated[int, typer.Option(help="Of everything.")] = 0,
    check_images: _CheckImages = False,
    device: Device = "auto",
) -> None:
    """Train a network to give another method's scores in one pass (the optimisation paper).

    Writes network.safetensors, which `score --scorer label-regressor`, `export` and `serve` take.
    """
    console = Console(stderr=True, markup=False)
    training_set = open_training_set(data)
    check_training_set(training_set)
    if check_images:
        _check_images(training_set, console)
    name, labels, higher_is_better = _read_labels(scores, method, training_set)
    run_distillation(
        training_set,
        labels,
        _load(network, device),
        out,
        DistillSettings(
            head_only=head_only,
            epochs=epochs,
            batch_size=batch_size,
            precision=precision,
            seed=seed,
        ),
        higher_is_better=higher_is_better,
        origin=f"{name} over {training_set.name}",
        progress=lambda step, values: _show(console, step, values),
    )
    console.print(f"wrote {out / NETWORK_FILE}")


@train.command("optimise-labels")
def optimise(
    data: _Data,
    out: Annotated[Path, typer.Option("-o", "--out", help="CSV file (sample,METHOD+opt).")],
    scores: _Scores,
    embeddings: Annotated[
        Path, typer.Option(help="Of the samples: .npy with .txt, .npz or .parquet.")
    ],
    method: _Method = None,
    clusters: Annotated[int, typer.Option(help="C, for each identity.")] = 20,
    theta: Annotated[float, typer.Option(help="How far ranks move.")] = 0.001,
    repeats: Annotated[int, typer.Option(help="R, how often pairs are drawn.")] = 10,
    variant: Annotated[str, typer.Option(help="official or paper.")] = "official",
    index_scale: Annotated[
        str, typer.Option(help="pairs (as coded) or samples (rescaled).")
    ] = "pairs",
    seed: Annotated[int, typer.Option(help="Of clusters and pairs.")] = 0,
) -> None:
    """Optimise the order of quality labels by the similarities of mated pairs.

    An interrupted run goes on after its last repeat when it is started again.
    """
    console = Console(stderr=True, markup=False)
    training_set = open_training_set(data)
    name, labels, higher_is_better = _read_labels(scores, method, training_set)
    missing = int(np.isnan(labels).sum())
    if missing:
        raise InvalidArgumentError(
            f"train: expected a label for each of the {len(labels)} samples of {training_set.name},"
            f" got none for {missing}; score them, or remove their images"
        )
    found = read_embeddings(embeddings, list(training_set.samples))
    unfinished = out.with_name(f".{out.name}.progress")
    with Progress(console=console) as bar:
        tasks = {step: bar.add_task(step) for step in ("clusters", "repeats")}

        def show(step: str, done: int, total: int) -> None:
            bar.update(tasks[step], completed=done, total=total)

        optimised = optimise_labels(
            labels if higher_is_better else -labels,
            found.embeddings,
            training_set.identity,
            clusters=clusters,
            theta=theta,
            repeats=repeats,
            seed=seed,
            variant=variant,  # type: ignore[arg-type]  # checked where it is used
            index_scale=index_scale,  # type: ignore[arg-type]
            checkpoint_folder=unfinished,
            on_progress=show,
        )
    values = optimised.quality if higher_is_better else -optimised.quality
    table = pa.table({"sample": list(training_set.samples), f"{name}+opt": values})
    pacsv.write_csv(table, out)
    shutil.rmtree(unfinished, ignore_errors=True)
    console.print(f"wrote {out}")


def _check_images(training_set: TrainingSet, console: Console) -> None:
    """Raises InvalidArgumentError where images cannot be read, and names them."""
    found = track(find_unreadable(training_set), "images", training_set.count, console=console)
    unreadable = [skipped for _, skipped in found if skipped is not None]
    for skipped in unreadable[:_SHOWN]:
        console.print(f"{skipped.sample}: {skipped.message}", soft_wrap=True)
    if unreadable:
        raise InvalidArgumentError(
            f"train: expected readable images in {training_set.name}, got {len(unreadable)} that"
            f" are not, such as {unreadable[0].sample}; remove or replace them"
        )


def _read_labels(
    path: Path, method: str | None, training_set: TrainingSet
) -> tuple[str, Float64Array, bool]:
    """Name, scores by sample and polarity of one method of a file."""
    nothing = np.zeros(0, np.int32)
    samples = Protocol(
        name=training_set.name,
        samples=tuple(training_set.samples),
        sources=(),
        aligned=True,
        identity=training_set.identity,
        sample_a=nothing,
        sample_b=nothing,
        mated=nothing.astype(np.bool_),
    )
    methods = {found.method: found for found in read_scores(path, samples)}
    if method is None and len(methods) == 1:
        method = next(iter(methods))
    if method not in methods:
        raise InvalidArgumentError(
            f"train: expected --method to be one of {', '.join(methods)}, got {method!r}; name the"
            " one whose scores are the labels"
        )
    chosen = methods[method]
    return method, chosen.raw_scores, chosen.higher_is_better


def _load(network: str, device: str) -> Backbone:
    packaged = network in READY_BACKBONES
    return load_backbone(
        network if packaged else None, weights=None if packaged else network, device=device
    )


def _show(console: Console, step: int, values: Mapping[str, float]) -> None:
    text = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    console.print(f"step {step}: {text}", soft_wrap=True)
