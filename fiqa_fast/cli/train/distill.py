"""`fiqa-fast train distill`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.cli.evaluation_job import EMBEDDINGS
from fiqa_fast.cli.make_scorers import make_scorers
from fiqa_fast.cli.options import parse_options, parse_per_method
from fiqa_fast.cli.output_folder import make_folder
from fiqa_fast.cli.scoring_options import Device, MethodOptions, Networks, Verify, WeightsFiles
from fiqa_fast.cli.train.evaluations import make_hooks, open_protocols
from fiqa_fast.cli.train.images import find_unusable
from fiqa_fast.cli.train.labels import optimise, read_labels, score_labels, write_labels
from fiqa_fast.cli.train.options import (
    CheckImages,
    Data,
    Evaluate,
    EvaluationAligned,
    EvaluationData,
    EvaluationFmr,
    Method,
    Out,
    SkipUnreadable,
    show_step,
)
from fiqa_fast.cli.verification import load_networks
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.embeddings import compute_embeddings
from fiqa_fast.evaluation.inputs import MethodScores
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.checks import check_training_set
from fiqa_fast.training.data.forms import open_training_set
from fiqa_fast.training.distill import DistillSettings
from fiqa_fast.training.distill import distill as run_distillation
from fiqa_fast.training.distribution import Processes
from fiqa_fast.training.samples import as_protocol
from fiqa_fast.training.train_cr_fiqa import NETWORK_FILE

LABELS_FILE = "labels.csv"
SCORES = "scores"


def distill(
    data: Data,
    out: Out,
    scorer: Annotated[
        str | None,
        typer.Option(help="Method whose scores are the labels: the samples are scored first."),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="Labels of the samples instead: of `fiqa-fast score`, or CSV (sample,METHOD)."
        ),
    ] = None,
    method: Method = None,
    option: MethodOptions = None,
    backbone: Networks = None,
    weights: WeightsFiles = None,
    optimise_labels: Annotated[
        bool,
        typer.Option(
            "--optimise-labels",
            help="Optimise the labels' order first, by embeddings of --network as it is; for other"
            " settings see `fiqa-fast train optimise-labels`.",
        ),
    ] = False,
    network: Annotated[
        str,
        typer.Option(help="A network with packaged weights, or a weights file, to begin with."),
    ] = "sface",
    head_only: Annotated[
        bool, typer.Option("--head-only", help="The network stays as it is.")
    ] = False,
    epochs: Annotated[int, typer.Option(help="Over the samples.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Of a step.")] = 128,
    precision: Annotated[str, typer.Option(help="float32, bf16 or fp16.")] = "float32",
    validate_every: Annotated[
        int, typer.Option(help="Steps between validations and evaluations; 0: once an epoch.")
    ] = 0,
    checkpoint_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of everything.")] = 0,
    check_images: CheckImages = False,
    skip_unreadable: SkipUnreadable = False,
    evaluate: Evaluate = None,
    evaluation_data: EvaluationData = None,
    aligned: EvaluationAligned = None,
    evaluation_fmr: EvaluationFmr = 1e-3,
    verify: Verify = None,
    device: Device = "auto",
) -> None:
    """Train a network to give another method's scores in one pass (the optimisation paper).

    Writes network.safetensors, which `score --scorer label-regressor`, `export` and `serve` take,
    and labels.csv. --backbone, --weights and --option are those of --scorer. Samples without a
    score, and every 20th for validation, are not learned from. An interrupted run goes on when it
    is started again.
    """
    console = Console(stderr=True, markup=False)
    if (scorer is None) == (scores is None):
        raise InvalidArgumentError(
            "train: expected labels from --scorer or from --scores, got"
            f" {'neither' if scorer is None else 'both'}; name one"
        )
    settings = DistillSettings(
        head_only=head_only,
        epochs=epochs,
        batch_size=batch_size,
        precision=precision,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
        seed=seed,
    )
    training_set = open_training_set(data)
    check_training_set(training_set)
    protocols = open_protocols(evaluate or [], evaluation_data, aligned=aligned)
    learner = _load(network, device)
    judges = load_networks(verify or [network], device) if protocols else {}
    excluded = find_unusable(
        training_set, console, Processes(), check=check_images, skip=skip_unreadable
    )
    make_folder(out, "train")
    if scores is not None:
        labels = read_labels(scores, method, training_set)
    else:
        names = [str(scorer)]
        (teacher,) = make_scorers(
            parse_options(option or [], names),
            parse_per_method(backbone or [], names, "--backbone"),
            parse_per_method(weights or [], names, "--weights"),
            device=device,
        )
        labels = score_labels(training_set, teacher, out / SCORES, console)
    labels.raw_scores[list(excluded)] = float("nan")
    if optimise_labels:
        labels = _optimised(labels, training_set, learner, out, console, seed)
    write_labels(out / LABELS_FILE, training_set, labels)
    run_distillation(
        training_set,
        labels.raw_scores,
        learner,
        out,
        settings,
        higher_is_better=labels.higher_is_better,
        origin=f"{labels.method} over {training_set.name}",
        hooks=make_hooks(protocols, judges, evaluation_fmr, out, console),
        progress=lambda step, values: show_step(console, step, values),
    )
    console.print(f"wrote {out / NETWORK_FILE}")


def _optimised(
    labels: MethodScores,
    training_set: TrainingSet,
    network: Backbone,
    out: Path,
    console: Console,
    seed: int,
) -> MethodScores:
    console.print(f"embedding {training_set.name} by {network.spec.name}")
    found = compute_embeddings(
        as_protocol(training_set), network, augmentation="none", cache_folder=out / EMBEDDINGS
    )
    unfinished = out / f".{LABELS_FILE}.progress"
    return optimise(labels, found.embeddings, training_set, unfinished, console, seed=seed)


def _load(network: str, device: str) -> Backbone:
    """The network to begin with."""
    (loaded,) = load_networks([network], device).values()
    if not loaded.spec.embedding_size:
        raise InvalidArgumentError(
            f"train: expected --network to name a recognition network, got {loaded.spec.name},"
            " which has no embedding; choose another one"
        )
    return loaded
